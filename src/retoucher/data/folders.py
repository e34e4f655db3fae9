"""Folders appear whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from retoucher.errors import OutputError


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A folder to fill, which takes the place of `target` when the block ends well.

    Raises:
        OutputError: something is there already, or it cannot be written; nothing is left behind.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(f"{target}: is there already; choose another folder")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        beside.mkdir(parents=True)
        yield beside
        if target.is_dir():
            target.rmdir()
        beside.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
