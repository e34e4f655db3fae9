"""The HTTP client of the server tools; the one module that touches the library.

No redirects, no proxy to this machine itself, and a limit on what a reply may hold.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, TypeVar, cast

import httpx2
from httpx2 import HTTPError, Response
from pydantic import TypeAdapter, ValidationError

from retoucher.errors import ToolError
from retoucher.tools.servers.address import is_loopback
from retoucher.tools.servers.pictures import MAX_REPLY_BYTES

__all__ = ["HTTPError", "Response", "Server", "open_client", "words"]

T = TypeVar("T")

_CONNECT_S = 10.0
_MOST_BYTES = 2 * MAX_REPLY_BYTES  # base64 and a few more pictures beside the wanted one
_MOST_TEXT = 300


def open_client(
    url: str, *, timeout_s: float, credentials: str | None = None
) -> httpx2.AsyncClient:
    """A client for one server.

    Args:
        url: of the server.
        timeout_s: limit for connecting and for each silence of the server.
        credentials: "user:password", or a bearer token.
    """
    headers = {"Accept-Encoding": "identity"}
    auth = None
    if credentials is not None and ":" in credentials:
        user, _, password = credentials.partition(":")
        auth = httpx2.BasicAuth(user, password)
    elif credentials is not None:
        headers["Authorization"] = f"Bearer {credentials}"
    return httpx2.AsyncClient(
        headers=headers,
        auth=auth,
        timeout=httpx2.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
        follow_redirects=False,
        trust_env=not is_loopback(url),
        verify=_certificates(),
        event_hooks={"response": [_limit]},
    )


@cache
def _certificates() -> ssl.SSLContext:
    """Loaded once for all clients: it takes a tenth of a second."""
    return httpx2.create_ssl_context()


class Server:
    """One server under its name: requests to it, replies checked, failures in plain words."""

    def __init__(self, name: str, url: str, client: httpx2.AsyncClient) -> None:
        self.name, self.url, self.client = name, url, client

    async def fetch(self, path: str, **parts: Any) -> bytes:
        """What GET of a path, or of a link to this server, gives.

        Raises:
            ToolError: as `request`; an error status, with what the server says.
        """
        response = await self.request("GET", path, **parts)
        if not response.is_success:
            raise ToolError(self.complaint(response, f"GET {path.partition('?')[0]}"))
        return response.content

    async def request(self, method: str, path: str, **parts: Any) -> Response:
        """The whole reply, whatever its status.

        Args:
            method, path: of the request; a path without a slash in front is a whole URL.
            parts: json, params, data or files, as the library takes them.

        Raises:
            ToolError: no connection, a time-out, a broken or too large reply, or a redirect.
        """
        try:
            url = self.url + path if path.startswith("/") else path
            response = await self.client.request(method, url, **parts)
        except httpx2.ConnectError as error:
            raise ToolError(f"no {self.name} at {self.url}: {error}; is it running?") from error
        except httpx2.TimeoutException as error:
            raise ToolError(f"{self.name} at {self.url} did not answer {method} {path}") from error
        except HTTPError as error:
            raise ToolError(f"{self.name} broke off {method} {path}: {words(error)}") from error
        if response.is_redirect:
            place = response.headers.get("location", "?")
            raise ToolError(f"{self.name} redirects {path} to {place}; set the url to where it is")
        return response

    async def ask(self, kind: type[T], method: str, path: str, **parts: Any) -> T:
        """The reply's JSON as `kind`.

        Raises:
            ToolError: as `request`; an error status, with what the server says; other JSON.
        """
        response = await self.request(method, path, **parts)
        if not response.is_success:
            raise ToolError(self.complaint(response, f"{method} {path}"))
        return self.read(kind, response, f"{method} {path}")

    def read(self, kind: type[T], response: Response, what: str) -> T:
        """The JSON of a reply as `kind`.

        Raises:
            ToolError: it is no JSON, or other JSON than the protocol says.
        """
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            reason = f"{first['msg']} at {place}" if place else first["msg"]
            raise ToolError(
                f"{self.name}'s reply to {what} is not what its protocol says: {words(reason)}"
            ) from error

    def complaint(self, response: Response, what: str) -> str:
        """An error status in plain words."""
        reason = words(_reason(response))
        return f"{self.name} answered {what} with {response.status_code}: {reason}"


def words(said: object) -> str:
    """What somebody said, as one line of limited length; an exception without words by its name."""
    text = " ".join(str(said).split())
    if not text and isinstance(said, Exception):
        text = type(said).__name__
    return text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"


def _reason(response: Response) -> str:
    """What an error reply says: the usual fields of JSON, else its text."""
    try:
        said = response.json()
    except ValueError:
        return response.text or response.reason_phrase
    if not isinstance(said, dict):
        return response.text
    fields = cast("dict[str, object]", said)
    for key in ("errors", "detail", "message", "error"):
        value = fields.get(key)
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get("message")
        if value:
            return str(value)
    return response.text


async def _limit(response: Response) -> None:
    """Let no reply be longer than is accepted, neither as sent nor unpacked."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ToolError("the server compressed its reply although asked not to; turn that off")
    response.stream = _Limited(cast(httpx2.AsyncByteStream, response.stream))


class _Limited(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._stream:
            count += len(chunk)
            if count > _MOST_BYTES:
                raise ToolError(f"the server's reply is longer than {_MOST_BYTES >> 20} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
