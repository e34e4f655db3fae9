"""Who may ask, and how much may be sent: around everything else."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retoucher.serve.settings import ServiceSettings

OPEN_PATHS = ("/v1/health",)
"""What may be asked without a key."""

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Guard:
    """ASGI middleware: key, host, origin, and size of the body; counts what is answered.

    Without a key on this machine's own address, pages in a browser could use the service behind
    the user's back: a request from a page of another origin is refused, and so is one that came by
    another host's name.
    """

    def __init__(
        self, app: ASGIApp, settings: ServiceSettings, answered: Callable[[str, int], None]
    ) -> None:
        self._app, self._settings, self._answered = app, settings, answered
        key = settings.api_key
        self._key = None if key is None else hashlib.sha256(key.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(str(scope["path"]), headers)
        if refusal is not None:
            self._answered("none", refusal[0])
            await _refuse(send, *refusal)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The route's template: nothing that a client sent becomes a label.
                route = getattr(scope.get("route"), "path", "none")
                self._answered(route, int(message["status"]))
            await send(message)

        await self._app(scope, self._limited(receive), counted)

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        if self._key is not None:
            if path not in OPEN_PATHS and not self._has_key(headers):
                return 401, "send the API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        elif not self._settings.open_to_all:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
            if host not in (*_LOCAL_NAMES, self._settings.host):
                return 403, "this service answers to this machine's own name only"
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != headers.get("host"):
                return 403, "requests from pages of other origins are refused"
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self._settings.max_body_bytes:
            return 413, f"at most {self._settings.max_body_bytes} bytes are taken"
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        assert self._key is not None
        # Digests are compared, in constant time: neither length nor content leaks.
        return hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._key)

    def _limited(self, receive: Receive) -> Receive:
        """Counts a body whose length was not announced."""
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._settings.max_body_bytes:
                raise HTTPException(413, f"at most {self._settings.max_body_bytes} bytes are taken")
            return message

        return limited


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
