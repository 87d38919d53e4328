"""The client: padded lines, long replies in parts, a connection that breaks, and a vault that does not understand."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from superalign.researcher.client import Client, VaultError

LONG = {"plans": ["p" * 3000], "answers": [], "findings": []}


class Scripted:
    """A socket that hangs up on the first requests and answers the others, padded."""

    def __init__(self, at: Path, hangs_up: int) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(at))
        self.listening.listen()
        self.left, self.asked = hangs_up, list[dict[str, object]]()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                channel, _ = self.listening.accept()
            except OSError:
                return
            with channel, channel.makefile("rb") as lines:
                for line in lines:
                    if self.left:
                        self.left -= 1
                        channel.sendall(b'{"half a li')
                        break
                    self.asked.append(json.loads(line))
                    channel.sendall(b"".join(self.reply(self.asked[-1]["do"])))

    def reply(self, what: object) -> list[bytes]:
        if what == "history":
            text = json.dumps(LONG)
            pieces = [text[i : i + 1000] for i in range(0, len(text), 1000)]
            made = [{"part": i, "of": len(pieces), "text": p} for i, p in enumerate(pieces)]
        else:
            made = [{"ticket": "t"} if what == "register" else {"error": "not understood"}]
        return [json.dumps(m).encode().ljust(4096) + b"\n" for m in made]


@pytest.fixture
def at(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def server(at: Path) -> Iterator[Scripted]:
    made = Scripted(at, hangs_up=2)
    yield made
    made.listening.close()


def test_it_connects_again_and_puts_parts_together(server: Scripted, at: Path) -> None:
    client = Client(at, wait_s=0.01)
    assert client.register({"question": "q"}) == "t"
    assert client.history() == LONG
    assert client.register({"question": "q"}) == "t"
    assert [a["do"] for a in server.asked] == ["register", "history", "register"]


def test_what_is_not_understood_is_raised_at_once(server: Scripted, at: Path) -> None:
    client = Client(at, wait_s=0.01)
    with pytest.raises(VaultError, match="not understood"):
        client.reveal("t")
    assert len(server.asked) == 1


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match=r"no reply .* in 2 attempts"):
        Client(tmp_path / "none", attempts=2, wait_s=0.01).questions()


def test_the_client_can_be_taken_anywhere() -> None:
    """It imports nothing but the standard library."""
    from tests.test_house import SOURCE, imports

    assert not [m for m in imports(SOURCE / "researcher" / "client.py") if m.split(".")[0] in ("superalign", "numpy")]
