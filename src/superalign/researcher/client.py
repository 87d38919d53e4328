"""A client of the vault on one page, of the standard library alone: copy this file into any agent framework.

One JSON object a line goes out; a line of fixed size, padded with spaces, comes back on a fixed grid of time. Long replies come
in several lines. Every request may be sent again: a ticket that was answered gives the same answer and costs nothing.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 1 << 20  # bytes of one line, far above what the vault sends


class VaultError(RuntimeError):
    """Raised where the vault did not understand, or cannot be reached."""


class Client:
    """Ask the vault: a connection for each request, and another where it breaks."""

    def __init__(self, path: str | Path, *, timeout_s: float = 900.0, attempts: int = 8, wait_s: float = 1.0) -> None:
        self.path, self.timeout_s, self.attempts, self.wait_s = str(path), timeout_s, attempts, wait_s

    def questions(self) -> list[dict[str, Any]]:
        """Return all questions, as their fields."""
        return list(self.ask({"do": "questions"})["questions"])

    def public(self, question: str) -> bytes:
        """Return the public arrays of a question, as the bytes of an npz file."""
        return base64.b64decode(self.ask({"do": "public", "question": question})["public"])

    def register(self, plan: Mapping[str, Any]) -> str:
        """Register a plan, and return its ticket."""
        return str(self.ask({"do": "register", "plan": dict(plan)})["ticket"])

    def submit(self, ticket: str, form: str, body: bytes) -> dict[str, Any]:
        """Submit the artefact of a registered plan, and return the answer's fields."""
        sent = {"do": "submit", "ticket": ticket, "form": form, "body": base64.b64encode(body).decode()}
        return dict(self.ask(sent)["answer"])

    def reveal(self, ticket: str) -> dict[str, Any]:
        """Open the sealed tier for a confirmed claim, once, and return what it showed."""
        return dict(self.ask({"do": "reveal", "ticket": ticket})["finding"])

    def history(self) -> dict[str, Any]:
        """Return the `plans`, `answers` and `findings` of everybody so far; a plan's ticket is its digest."""
        return self.ask({"do": "history"})

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request, again where the connection breaks, and return the reply.

        Raises:
            VaultError: If the vault says that it did not understand, or gives no reply in so many attempts.
        """
        line = json.dumps(request).encode() + b"\n"
        for attempt in range(self.attempts):
            try:
                reply = self._once(line)
            except (OSError, ValueError, KeyError, TypeError):
                time.sleep(self.wait_s * attempt)
                continue
            if "error" in reply:
                raise VaultError(str(reply["error"]))
            return reply
        raise VaultError(f"no reply from {self.path} in {self.attempts} attempts")

    def _once(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as channel, channel.makefile("rb") as lines:
            channel.settimeout(self.timeout_s)
            channel.connect(self.path)
            channel.sendall(line)
            reply = json.loads(lines.readline(LONGEST))
            if "part" not in reply:
                return dict(reply)
            parts = [reply] + [json.loads(lines.readline(LONGEST)) for _ in range(int(reply["of"]) - 1)]
        return dict(json.loads("".join(str(part["text"]) for part in parts)))
