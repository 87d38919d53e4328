"""The vault's socket: one JSON object a line in, lines of one size out, on a grid of time.

An answer that comes sooner, or is shorter, could say what its words do not. So every line has the same size, and leaves only when
the clock passes a multiple of the grid. Who asks is told by the kernel, and is never the vault's own user.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from superalign.errors import SuperalignError
from superalign.types import canonical_json, to_plain
from superalign.vault.judging import Judge
from superalign.vault.runner import MOST_CODE, MOST_WEIGHTS
from superalign.vault.signing import public_key

LINE = 4096  # bytes of every line but its end
PIECE = 2000  # characters of a long answer in one line: JSON may double them
MOST_LINE = 2 * MOST_WEIGHTS  # of a request
MOST_PEERS = 64
NOT_UNDERSTOOD: dict[str, object] = {"error": "not understood"}

Selector: TypeAlias = selectors.DefaultSelector


@dataclass
class Peer:
    """One connection: what it has sent of a line, and what waits to be sent to it."""

    channel: socket.socket
    asked: bytearray = field(default_factory=bytearray)
    waiting: bytearray = field(default_factory=bytearray)


@dataclass
class Server:
    """Answers until it is ended."""

    listening: socket.socket
    judge: Judge
    owner: str  # sha256 of the token that closes the vault
    grid_s: float = 1.0

    def serve(self) -> None:
        """Serve for ever."""
        selector = selectors.DefaultSelector()
        self.listening.setblocking(False)
        selector.register(self.listening, selectors.EVENT_READ)
        peers: dict[int, Peer] = {}
        due = self._tick()
        while True:
            for key, _ in selector.select(max(0.0, due - time.monotonic())):
                if key.fileobj is self.listening:
                    self._accept(selector, peers)
                elif not self._read(peers[key.fd]):
                    selector.unregister(key.fd)
                    peers.pop(key.fd).channel.close()
            if time.monotonic() >= due:
                for peer in peers.values():
                    _send(peer)
                due = self._tick()

    def _tick(self) -> float:
        """The next multiple of the grid."""
        return (time.monotonic() // self.grid_s + 1) * self.grid_s

    def _accept(self, selector: Selector, peers: dict[int, Peer]) -> None:
        channel, _ = self.listening.accept()
        _, uid, _ = struct.unpack(
            "3i", channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        if uid == os.getuid() or len(peers) >= MOST_PEERS:
            channel.close()
            return
        channel.setblocking(False)
        peers[channel.fileno()] = Peer(channel)
        selector.register(channel, selectors.EVENT_READ)

    def _read(self, peer: Peer) -> bool:
        """Take in what a peer sent, and answer each whole line; say whether it is still there."""
        try:
            data = peer.channel.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        peer.asked += data
        while (end := peer.asked.find(b"\n")) >= 0:
            line = bytes(peer.asked[:end])
            del peer.asked[: end + 1]
            peer.waiting += b"".join(lines(self.answer(line)))
        return bool(data) and len(peer.asked) <= MOST_LINE

    def answer(self, line: bytes) -> Mapping[str, object]:
        """Return the answer to one line; whatever is wrong with it, the same words."""
        try:
            message = json.loads(line)
            return self._do(message) if isinstance(message, dict) else NOT_UNDERSTOOD
        except SuperalignError:  # of ours: a disk that is full, a ledger that does not verify
            raise
        except (ValueError, KeyError, TypeError, RecursionError):
            return NOT_UNDERSTOOD

    def _do(self, message: Mapping[str, Any]) -> Mapping[str, object]:
        judge, desk, what = self.judge, self.judge.desk, message.get("do")
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
            form: Literal["code", "weights"] = "weights" if message["form"] == "weights" else "code"
            body = base64.b64decode(message["body"], validate=True)
            if message["form"] != form or len(body) > (MOST_CODE if form == "code" else MOST_WEIGHTS):
                return NOT_UNDERSTOOD
            return {"answer": to_plain(judge.submit(str(message["ticket"]), form, body))}
        if what == "reveal":
            finding = judge.reveal(str(message["ticket"]))
            return {"finding": to_plain(finding)} if finding else {"error": "not allowed"}
        if what == "history":
            answers = [to_plain(a) for a in desk.answers.values()]
            findings = [to_plain(f) for f in desk.findings.values()]
            return {"plans": [to_plain(p) for p in desk.plans.values()], "answers": answers, "findings": findings}
        given = hashlib.sha256(str(message.get("token")).encode()).hexdigest()
        if what == "owner" and message.get("what") == "close" and hmac.compare_digest(given, self.owner):
            return self._closed()
        return NOT_UNDERSTOOD

    def _closed(self) -> Mapping[str, object]:
        """Close for ever; return what nobody could know before: scores, attempts, readings and which were twins."""
        desk = self.judge.desk
        if not desk.closed:
            desk.close()
        return {
            "twins": {name: bench.twin for name, bench in desk.benches.items()},
            "scored": [to_plain(s) for s in desk.scored.values()],
            "received": [to_plain(r) for r in desk.received.values()],
            "findings": [to_plain(f) for f in desk.findings.values()],
            "head": desk.ledger.head.hash,
        }


def lines(reply: Mapping[str, object]) -> list[bytes]:
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


def _send(peer: Peer) -> None:
    """Send what waits, as much as is taken now; a peer that is gone is noticed when it is read."""
    try:
        while peer.waiting:
            del peer.waiting[: peer.channel.send(peer.waiting)]
    except OSError:
        return
