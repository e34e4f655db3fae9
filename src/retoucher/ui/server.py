"""Serving the page: the address, the password, downloads, and what a browser may load."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

from retoucher.api import Retoucher
from retoucher.errors import ConfigError, MissingDependencyError, RetoucherError
from retoucher.ui.desk import Desk
from retoucher.ui.exports import KINDS
from retoucher.ui.session import Sessions
from retoucher.ui.settings import UiSettings

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SWEEP_S = 60.0

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio builds templates by eval
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""A browser loads nothing for the page from any other address."""


HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def serve(retoucher: Retoucher, settings: UiSettings, ready: Callable[[str], None]) -> None:
    """Serve the page until interrupted.

    Args:
        retoucher: does the work, for all users.
        settings: where and how.
        ready: told the address once it is listened at.

    Raises:
        ConfigError: the address cannot be listened at.
        MissingDependencyError: Gradio is not installed.
    """
    folder = tempfile.mkdtemp(prefix="retouch-ui-")
    # Gradio asks the environment about these; nothing is sent to anybody, and what it writes is
    # removed at the end.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)
    desk, sessions = Desk(retoucher), Sessions(settings.idle_minutes * 60)
    done = threading.Event()
    try:
        with closing(_listen(settings)) as listening:
            app = make_app(desk, sessions, settings)
            threading.Thread(target=_sweep, args=(sessions, done), daemon=True).start()
            # uvicorn shuts down in order at Ctrl-C and then raises it once more.
            with suppress(KeyboardInterrupt):
                _run(app, listening, lambda: ready(_address(settings, listening)))
    finally:
        done.set()
        sessions.end_all()
        desk.close()
        shutil.rmtree(folder, ignore_errors=True)


def make_app(desk: Desk, sessions: Sessions, settings: UiSettings) -> FastAPI:
    """The page and its downloads as one ASGI application.

    Raises:
        MissingDependencyError: Gradio is not installed.
    """
    try:
        import fastapi
        import gradio as gr
        from gradio.themes import Default

        from retoucher.ui.app import build
    except ImportError as error:
        raise MissingDependencyError(
            f"the page needs a part that is not installed ({error.name or error}); "
            'install it with: pip install "agentic-retoucher[ui]"'
        ) from error

    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(_Guard)
    _downloads(app, sessions)
    page = build(desk, sessions, settings)
    page.queue(max_size=64, api_open=False)
    gr.mount_gradio_app(  # pyright: ignore[reportUnknownMemberType]
        app,
        page,
        path="",
        server_name=settings.host,
        server_port=settings.port,
        auth=(settings.user, settings.password) if settings.password else None,
        show_error=False,  # a bug is told in the log; what a user can act on is told as gr.Error
        max_file_size=settings.limits.max_file_bytes,
        ssr_mode=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=Default(
            primary_hue="pink",
            neutral_hue="stone",
            font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
            font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
        ),
        css=(resources.files("retoucher.ui") / "style.css").read_text("utf-8"),
    )
    return app


class _Guard:
    """Adds headers to every answer; streams pass through untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        await self._app(scope, receive, sent)


def _downloads(app: FastAPI, sessions: Sessions) -> None:
    """`files/TOKEN/KIND`; who knows the token is its user, and it ends with the session."""
    from fastapi.responses import PlainTextResponse, Response

    def download(token: str, kind: str) -> Response:
        if kind not in KINDS:
            return PlainTextResponse("there is no such file\n", 404)
        try:
            file = KINDS[kind](sessions.get(token))
        except RetoucherError as error:
            return PlainTextResponse(f"{error}\n", 409)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}",
            "Cache-Control": "no-store",
        }
        return Response(file.data, media_type=file.media_type, headers=headers)

    app.add_api_route("/files/{token}/{kind}", download, response_model=None)


def _listen(settings: UiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen at {settings.host} port {settings.port} ({error.strerror}); "
            "choose another with --host and --port"
        ) from error
    return listening


def _address(settings: UiSettings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


def _run(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Pages that are still open keep a connection each, which is cut; that is no error.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    Server(config).run([listening])


def _sweep(sessions: Sessions, done: threading.Event) -> None:
    while not done.wait(SWEEP_S):
        sessions.sweep()
