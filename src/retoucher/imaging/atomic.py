"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from retoucher.errors import OutputError


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside the target, flush to disk, then take the target's place.

    A symbolic link keeps pointing where it points; an existing file keeps its permissions.

    Raises:
        OutputError: the place cannot be written; nothing is left behind, the old file is untouched.
    """
    beside: Path | None = None
    try:
        target = Path(os.path.realpath(path))
        permissions = _check(path, target)
        beside = target.with_name(f".{target.name[:80]}.{secrets.token_hex(4)}.part")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if permissions is not None:
            beside.chmod(permissions)
        os.replace(beside, target)
        beside = None
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputError(f"{path}: cannot write there ({words}); choose another output") from error
    finally:
        if beside is not None:
            with contextlib.suppress(OSError):
                beside.unlink()


def _check(path: Path, target: Path) -> int | None:
    """Permissions of the file that will be replaced, None where there is none."""
    if not target.parent.is_dir():
        raise OutputError(f"{path}: the folder does not exist; make it first")
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{path}: is a folder; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{path}: is not a regular file; choose another output")
    if not os.access(target, os.W_OK):
        raise OutputError(f"{path}: is write-protected; choose another output")
    return stat.S_IMODE(status.st_mode)
