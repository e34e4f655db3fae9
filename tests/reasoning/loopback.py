"""A HTTP server on loopback that plays back recorded answers and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Played:
    """One answer; `body` is sent as JSON, or as it is where it is a string."""

    status: int = 200
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


@dataclass(kw_only=True)
class Loopback:
    """What came: JSON, paths, headers (lower-case names), in order; and so many at a time."""

    url: str
    requests: list[dict[str, Any]]
    paths: list[str]
    headers: list[dict[str, str]]
    most_at_once: int = 0


@contextmanager
def serving(answer: Callable[[str, dict[str, Any]], Played]) -> Iterator[Loopback]:
    """Serve until the block ends. Requests may come in parallel."""
    lock, stopped, running = threading.Lock(), threading.Event(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked = json.loads(self.rfile.read(length))
            with lock:
                running[0] += 1
                served.most_at_once = max(served.most_at_once, running[0])
                served.requests.append(asked)
                served.paths.append(self.path)
                served.headers.append({k.lower(): v for k, v in self.headers.items()})
                played = answer(self.path, asked)
            stopped.wait(played.wait_s)
            with lock:
                running[0] -= 1
            text = played.body if isinstance(played.body, str) else json.dumps(played.body)
            data = text.encode()
            try:
                self.send_response(played.status)
                for name, value in {"Content-Type": "application/json", **played.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up waiting, which is what a time-out test wants

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Loopback(
        url=f"http://127.0.0.1:{server.server_port}", requests=[], paths=[], headers=[]
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def in_turn(*answers: Played) -> Callable[[str, dict[str, Any]], Played]:
    """The answers one after the other; the last repeats."""
    rest = list(answers)
    return lambda path, asked: rest.pop(0) if len(rest) > 1 else rest[0]
