"""The vault's socket: one JSON object a line in, lines of one size out, on a grid of time.

An answer that comes sooner, or is shorter, could say what its words do not. So every line has the same size, and leaves only when
the clock passes a multiple of the grid. Who asks is told by the kernel, and is never the vault's own user.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import io
import json
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeAlias, get_args

import numpy as np

from superalign.errors import SuperalignError
from superalign.ledger.signing import public_key
from superalign.runner.running import MOST
from superalign.types import Form, Record, canonical_json, to_plain
from superalign.vault.desk import Closed, Desk
from superalign.vault.judging import Judge

LINE = 4096  # bytes of every line but its end
PIECE = 2000  # characters of a long answer in one line: JSON may double them
MOST_LINE = 2 * max(MOST.values())  # of a request
MOST_PEERS = 64

Reply: TypeAlias = Mapping[str, object]
Asked: TypeAlias = "queue.Queue[tuple[bytes, Future[Reply]]]"
NOT_UNDERSTOOD: Reply = {"error": "not understood"}


def serve(listening: socket.socket, judge: Judge, owner: str, *, grid_s: float) -> None:
    """Serve for ever: a thread for each connection hands its lines to this one, and one at a time is answered.

    Args:
        listening: A socket that is bound already.
        judge: Who answers.
        owner: sha256 of the token that closes the vault.
        grid_s: Answers leave at multiples of so many seconds.
    """
    asked: Asked = queue.Queue()
    threading.Thread(target=_accept, args=(listening, asked, grid_s), daemon=True).start()
    while True:
        line, told = asked.get()
        told.set_result(answer(judge, line, owner))


def _accept(listening: socket.socket, asked: Asked, grid_s: float) -> None:
    """Take connections of others, up to a number."""
    while True:
        with contextlib.suppress(OSError):  # of one that is gone again
            channel, _ = listening.accept()
            asks = struct.unpack("3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            if asks == os.getuid() or threading.active_count() > MOST_PEERS:
                channel.close()
            else:
                threading.Thread(target=_converse, args=(channel, asked, grid_s), daemon=True).start()


def _converse(channel: socket.socket, asked: Asked, grid_s: float) -> None:
    """Have the whole lines of one connection answered until it ends; each answer waits for the next multiple of the grid."""
    with contextlib.suppress(OSError), channel, channel.makefile("rb") as stream:
        while (line := stream.readline(MOST_LINE)).endswith(b"\n"):
            told: Future[Reply] = Future()
            asked.put((line, told))
            out = b"".join(lines(told.result()))
            time.sleep(grid_s - time.monotonic() % grid_s)
            channel.sendall(out)


def answer(judge: Judge, line: bytes, owner: str) -> Reply:
    """Return the answer to one line; whatever is wrong with it, the same words."""
    try:
        message = json.loads(line)
        return _do(judge, message, owner) if isinstance(message, dict) else NOT_UNDERSTOOD
    except SuperalignError:  # of ours: a disk that is full, a ledger that does not verify
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        return NOT_UNDERSTOOD


def _do(judge: Judge, message: Mapping[str, Any], owner: str) -> Reply:
    desk, what = judge.desk, message.get("do")
    if what == "questions":
        asked = [to_plain(bench.question) for bench in desk.benches.values()]
        return {"questions": asked, "key": public_key(judge.key)}
    if what == "public":
        out = io.BytesIO()
        np.savez_compressed(out, allow_pickle=False, **desk.benches[message["question"]].public)
        return {"public": base64.b64encode(out.getvalue()).decode()}
    if what == "register":
        ticket = desk.register(message["plan"])
        return {"ticket": ticket} if ticket else {"error": "not allowed"}
    if what == "submit":
        form: Form = message["form"]
        body = base64.b64decode(message["body"], validate=True)
        if form not in get_args(Form) or len(body) > MOST[form]:
            return NOT_UNDERSTOOD
        return {"answer": to_plain(judge.submit(str(message["ticket"]), form, body))}
    if what == "reveal":
        finding = judge.reveal(str(message["ticket"]))
        return {"finding": to_plain(finding)} if finding else {"error": "not allowed"}
    if what == "history":
        return _plain(plans=desk.plans, answers=desk.answers, findings=desk.findings)
    given = hashlib.sha256(str(message.get("token")).encode()).hexdigest()
    if what == "owner" and message.get("what") == "close" and hmac.compare_digest(given, owner):
        return _closed(desk)
    return NOT_UNDERSTOOD


def _closed(desk: Desk) -> Reply:
    """Close for ever; return what nobody could know before: scores, attempts, readings and which were twins."""
    if not desk.closed:
        desk.keep(Closed(questions=len(desk.benches)))
    sealed = _plain(scored=desk.scored, received=desk.received, findings=desk.findings)
    twins = {name: bench.twin for name, bench in desk.benches.items()}
    return {**sealed, "twins": twins, "head": desk.ledger.head.hash}


def _plain(**kept: Mapping[str, Record]) -> Reply:
    """Return records by what they are."""
    return {name: [to_plain(record) for record in some.values()] for name, some in kept.items()}


def lines(reply: Reply) -> list[bytes]:
    """Return a reply as padded lines of one size; a long one as numbered pieces of its text.

    Example:
        >>> [len(line) for line in lines({"ticket": "a" * 64})], len(lines({"text": "a" * 5000}))
        ([4097], 3)
    """
    text = canonical_json(reply)
    texts = [text]
    if len(text) > LINE:
        pieces = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
        texts = [canonical_json({"part": i, "of": len(pieces), "text": piece}) for i, piece in enumerate(pieces)]
    return [one.encode().ljust(LINE) + b"\n" for one in texts]
