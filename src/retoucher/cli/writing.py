"""Files beside the picture: whole or not there, their folder made where it is missing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from retoucher.errors import OutputError
from retoucher.imaging import atomic


def make_folder(folder: Path) -> None:
    """Create the folder and its parents where they are missing.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file.

    Raises:
        OutputError: the folder or file cannot be written; nothing is left behind.
    """
    stream = io.BytesIO()
    write(stream)
    make_folder(path.parent)
    atomic.write_bytes(path, stream.getvalue())


def write_text(path: Path, text: str) -> None:
    """UTF-8, as `write_file`."""
    write_file(path, lambda stream: stream.write(text.encode("utf-8")))
