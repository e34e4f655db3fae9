"""`retouch serve`: its options. Light; the service is imported when it is asked for."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from retoucher.cli.options import Config, LookOptions, ReasonerName, Sets, WorkerMemory


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8765,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Environment variable with the key that clients must send."
        ),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Other machines may use it without a key.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes: so many pictures at a time.")] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Jobs that may wait beside those.")] = 16,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="A job that takes longer fails.")
    ] = 300.0,
    max_megabytes: Annotated[
        float, typer.Option(metavar="MB", help="A picture's file may have so many.")
    ] = 32.0,
    max_megapixels: Annotated[
        float, typer.Option(metavar="MP", help="A picture may have so many.")
    ] = 50.0,
    keep: Annotated[
        float, typer.Option(metavar="SECONDS", help="Results are kept so long.")
    ] = 600.0,
    worker_memory: WorkerMemory = None,
    config: Config = None,
    sets: Sets = None,
    reasoner: ReasonerName = None,
    log_level: Annotated[str, typer.Option(help="error, warning, info or debug.")] = "warning",
) -> None:
    """Serve finding and repairing over HTTP, on this machine unless told otherwise."""
    from retoucher.cli.settings import look_settings
    from retoucher.errors import ConfigError, MissingDependencyError

    try:
        from retoucher.serve.run import run_service
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the service needs {error.name}; run: pip install 'agentic-retoucher[serve]'"
        ) from error
    from retoucher.serve.settings import ServiceSettings

    key = None
    if api_key_env is not None:
        key = os.environ.get(api_key_env)
        if not key:
            raise ConfigError(f"--api-key-env: the environment has no {api_key_env}")
    if log_level not in ("error", "warning", "info", "debug"):
        raise ConfigError(f"--log-level {log_level}: error, warning, info or debug")
    settings = ServiceSettings(
        host=host,
        port=port,
        api_key=key,
        open_to_all=open_to_all,
        workers=workers,
        queue=queue,
        job_timeout_s=timeout,
        max_image_bytes=int(max_megabytes * 2**20),
        max_pixels=int(max_megapixels * 1e6),
        result_ttl_s=keep,
        worker_memory_gb=worker_memory,
    )
    look = LookOptions(images=(), config=config, sets=tuple(sets or ()), reasoner=reasoner)
    run_service(settings, look_settings(look), log_level=log_level)
