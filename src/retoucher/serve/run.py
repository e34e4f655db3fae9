"""The service as a process: settings, warm-up, uvicorn."""

from __future__ import annotations

import socket
import sys

import uvicorn

from retoucher.batch.work import embedded
from retoucher.config import Settings
from retoucher.errors import ConfigError
from retoucher.serve.app import create_app
from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import worker

MAX_CONNECTIONS = 512


def run_service(settings: ServiceSettings, wanted: Settings, *, log_level: str) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: of the service.
        wanted: of all repairs.
        log_level: uvicorn's.

    Raises:
        RetoucherError: bad settings, nothing can run, or the address is taken.
    """
    embedded(wanted)  # says now what is wrong, not in a worker
    app = create_app(settings, worker(wanted, settings.max_pixels))
    listener = _listener(settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"retouch: serving on http://{shown}:{port}", file=sys.stderr, flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level=log_level,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
            server_header=False,
        )
    )
    with listener:
        server.run(sockets=[listener])


def _listener(settings: ServiceSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}"
        ) from error
