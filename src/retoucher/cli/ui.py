"""`retouch ui`: the web page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.options import Config, LookOptions, ReasonerName, Sets
from retoucher.cli.plain import complain
from retoucher.errors import ConfigError

PASSWORD_VARIABLE = "RETOUCH_UI_PASSWORD"


def ui(
    *,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0: reachable from other machines.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any free one.")
    ] = 7860,
    password: Annotated[
        bool,
        typer.Option(
            "--password",
            help=f"Ask for a password first: the one in ${PASSWORD_VARIABLE}, or typed now.",
        ),
    ] = False,
    user: Annotated[str, typer.Option(help="User name that goes with the password.")] = "retouch",
    max_upload: Annotated[
        float, typer.Option(metavar="MB", help="Largest file that is taken.")
    ] = 64.0,
    max_pixels: Annotated[
        float, typer.Option(metavar="MILLIONS", help="Largest picture that is taken.")
    ] = 50.0,
    feedback: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep pictures and corrections here, for training, of users who tick that.",
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    reasoner: ReasonerName = None,
) -> None:
    """Serve a web page to find and repair defects in pictures.

    Only this machine can open it, unless --host says otherwise. Needs the extra "ui".
    """
    from retoucher.api import Retoucher
    from retoucher.cli.settings import look_settings
    from retoucher.ui.server import serve
    from retoucher.ui.settings import UiSettings

    settings = UiSettings(
        host=host,
        port=port,
        user=user,
        password=_password(asked=password),
        max_upload_mb=max_upload,
        max_megapixels=max_pixels,
        feedback=feedback,
    )
    look = LookOptions(images=(), config=config, sets=tuple(sets or ()), reasoner=reasoner)
    retoucher = Retoucher.from_profile(settings=look_settings(look))
    for warning in retoucher.warnings:
        complain(f"note: {warning}")
    if not settings.is_local and settings.password is None:
        complain(f"note: {host} can be reached by others, and no password is asked; see --password")
    serve(retoucher, settings, lambda address: typer.echo(f"{address}  (Ctrl-C ends it)"))


def _password(*, asked: bool) -> str | None:
    """From the environment, else typed without being shown; None where none is asked for.

    Raises:
        ConfigError: it is empty.
    """
    given = os.environ.get(PASSWORD_VARIABLE)
    if not asked:
        return given or None
    password = given if given is not None else typer.prompt("Password", hide_input=True)
    if not password:
        raise ConfigError(f"the password is empty; set {PASSWORD_VARIABLE} or type one")
    return password
