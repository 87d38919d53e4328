"""The relay: how a researcher in a sandbox without a network reaches a language model. The parent runs it, and counts.

One JSON object a line: {"messages": [{"role", "content"}, ...], "max_tokens": n} -> {"text", "stopped", "tokens"}, or {"error"}
in words of our own: a provider's may hold a key.
"""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from superalign.control.identities import RESEARCHER, let_ask
from superalign.models import open_weights
from superalign.models.api import ApiRollouts, Reply, api_policy
from superalign.models.model import with_sampling
from superalign.models.sampler import Sampling
from superalign.policy_names import API
from superalign.types import Problem

Answer: TypeAlias = Callable[[str, int], Reply]  # what is asked, tokens at most


@dataclass(kw_only=True)
class Relay:
    """Limits, and what was used: of everybody who asks."""

    answer: Answer
    calls: int = 1000
    tokens: int = 1_000_000  # written, in all
    used: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("calls", "tokens", "refused", "failed"), 0))
    lock: threading.Lock = field(default_factory=threading.Lock)  # one model, one question at a time

    def reply(self, line: bytes) -> Mapping[str, Any]:
        """Answer one line; whatever is wrong, in a word or two."""
        with self.lock:
            try:
                asked = json.loads(line)
                said = [(str(m["role"]), str(m["content"])) for m in asked["messages"]]
                limit = min(int(asked["max_tokens"]), self.tokens - self.used["tokens"])
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                said, limit = [], 0
            if not said or limit < 1 or self.used["calls"] >= self.calls:
                self.used["refused"] += 1
                return {"error": "used up" if said else "not understood"}
            self.used["calls"] += 1
            try:
                reply = self.answer(said[0][1] if len(said) == 1 else "\n\n".join(map(": ".join, said)), limit)
            except Exception:  # a provider's client may raise anything
                self.used["failed"] += 1
                return {"error": "no reply"}
            self.used["tokens"] += max(reply.tokens, 1)
            return {"text": reply.text, "stopped": reply.stopped, "tokens": reply.tokens}


@contextmanager
def relaying(relay: Relay, at: Path) -> Iterator[Relay]:
    """Serve a relay at a Unix socket until the block is left."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline(1 << 20):
                self.wfile.write(json.dumps(relay.reply(line)).encode() + b"\n")

    with socketserver.ThreadingUnixStreamServer(str(at), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        if os.getuid() == 0:  # else there is no other user to ask
            let_ask(at, RESEARCHER)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield relay
        server.shutdown()


def answers_of(name: str) -> Answer:
    """Return how a model is asked, each time with another seed: `api:PROVIDER/MODEL` through Inspect, or weights here."""
    model, asked = None if name.startswith(API) else open_weights(name), count()

    def answer(prompt: str, limit: int) -> Reply:
        sampling = Sampling(max_tokens=limit)
        policy = api_policy(name, sampling=sampling) if model is None else with_sampling(model, sampling)
        found = policy.sample(
            [Problem(prompt=prompt, family="relayed", difficulty=0, split="train")], n=1, seed=next(asked)
        )
        if isinstance(found, ApiRollouts) and found.unmeasured:
            raise ConnectionError("no reply")
        return Reply(text=found.text_R[0], stopped=bool(found.stopped_R[0]), tokens=int(found.length_R[0]))

    return answer
