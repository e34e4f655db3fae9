"""A real HTTP server on loopback for the servers of these tests; one thread a request."""

from __future__ import annotations

import email
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    handler: BaseHTTPRequestHandler

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, tuple[str | None, bytes]]:
        """Multipart fields: file name (None for plain ones) and content."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + self.body).get_payload()
        assert isinstance(parts, list), "the body is no multipart form"
        fields: dict[str, tuple[str | None, bytes]] = {}
        for part in parts:
            assert isinstance(part, Message)
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            fields[str(name)] = (part.get_filename(), content)
        return fields


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None  # says so many will come, and sends fewer


def json_reply(data: object, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(data).encode())


Route = Callable[[Request], Reply | None]
"""None: the route has answered by itself."""


class Loopback:
    """Routes by "METHOD /path"; a path that ends in / takes what is below it."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = dict(routes)
        self.requests: list[Request] = []
        self.broken: list[BaseException] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                owner.serve(self)

            do_GET = do_POST = handle_any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                import sys

                error = sys.exc_info()[1]
                if error is not None and not isinstance(error, ConnectionError):
                    owner.broken.append(error)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        request = Request(
            method=handler.command,
            path=unquote(parts.path),
            query={k: v[0] for k, v in parse_qs(parts.query).items()},
            headers=handler.headers,
            body=handler.rfile.read(length),
            handler=handler,
        )
        self.requests.append(request)
        reply = self._route(request)(request)
        if reply is None:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        handler.send_header("Content-Type", reply.kind)
        handler.send_header("Content-Length", str(reply.promised_bytes or len(reply.body)))
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)
        handler.close_connection = reply.promised_bytes is not None

    def _route(self, request: Request) -> Route:
        exact = self.routes.get(f"{request.method} {request.path}")
        if exact is not None:
            return exact
        for name, route in self.routes.items():
            if name.endswith("/") and f"{request.method} {request.path}".startswith(name):
                return route
        return lambda _: json_reply({"detail": "Not Found"}, 404)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()
        assert not self.broken, f"the test server broke: {self.broken[0]!r}"


def repainted(image: Rgb, mask: Mask, seed: int = 0, denoise: float = 1.0) -> Rgb:
    """A real edit of the masked pixels alone: filled from their surroundings, as grainy as them."""
    filled = cv2.inpaint(np.ascontiguousarray(image), mask.astype(np.uint8), 5, cv2.INPAINT_TELEA)
    fine = image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    level = float(fine[~mask].std()) if not mask.all() else 1.0
    grain = np.random.default_rng(seed).normal(0, level, image.shape)
    out = image.astype(float)
    fill = denoise * (filled + grain) + (1 - denoise) * image
    out[mask] = fill[mask]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
