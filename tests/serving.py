"""A server on loopback that speaks the chat protocol of OpenAI, as the tests of models behind an API need one."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from superalign.models.api import Ask, Connect, Reply


def said(prompt: str) -> str:
    """What the server says if nobody tells it what to say."""
    return "" if prompt == "empty" else f"{prompt};said;more"


class Server(ThreadingHTTPServer):
    """Speaks the chat protocol of OpenAI; `fails` says how many of each prompt's first requests it refuses, and how."""

    request_queue_size = 64
    daemon_threads = True

    def __init__(
        self,
        fails: int,
        says: Callable[[str], str] = said,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fails, self.says, self.asked, self.lock = fails, says, Counter[str](), threading.Lock()
        self.status, self.headers, self.code = status, dict(headers or {}), code
        self.under_way, self.most = 0, 0
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def connection(self, key: str) -> Connect:
        """How an `ApiPolicy` asks this server, without inspect-ai."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[Ask]:
            def post(prompt: str, seed: int) -> Reply:
                body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "seed": seed}
                request = urllib.request.Request(
                    f"{self.url}/chat/completions",
                    json.dumps(body).encode(),
                    {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
                )
                with urllib.request.urlopen(request, timeout=10) as answer:
                    made = json.loads(answer.read())
                choice = made["choices"][0]
                return Reply(
                    text=choice["message"]["content"],
                    stopped=choice["finish_reason"] == "stop",
                    tokens=made["usage"]["completion_tokens"],
                )

            async def ask(prompt: str, seed: int) -> Reply:
                return await asyncio.to_thread(post, prompt, seed)

            yield ask

        return connect


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.asked[prompt] += 1
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
            refused = self.server.asked[prompt] <= self.server.fails
        threading.Event().wait(0.01)
        with self.server.lock:
            self.server.under_way -= 1
        if refused:
            message = f"overloaded; your key is {self.headers['Authorization']}"
            return self.say(self.server.status, {"error": {"message": message, "code": self.server.code}})
        text = self.server.says(prompt)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 2, "completion_tokens": 5, "total_tokens": 7}
        self.say(
            200,
            {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage},
        )

    def say(self, status: int, made: dict[str, Any]) -> None:
        raw = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in self.server.headers.items() if status != 200 else ():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(fails: int = 0, **more: Any) -> Iterator[Server]:
    """A server that runs until the block is left."""
    server = Server(fails, **more)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
