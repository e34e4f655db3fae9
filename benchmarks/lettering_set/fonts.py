"""The typefaces of the test set, from packages of the extra `bench`.

The two halves share no family, and no held-out family is shipped with the product, so that a
repair there is never drawn in the very typeface that drew the original.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import io
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import ImageFont

Split = Literal["dev", "heldout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One typeface. `file` is a file name in the package, or `buffer:KEY` of pymupdf-fonts."""

    family: str
    package: str
    file: str
    split: Split
    style: Literal["sans", "serif", "mono", "hand", "display"]


@cache
def faces() -> tuple[Face, ...]:
    """All faces, in the order of faces.toml."""
    text = (importlib.resources.files("lettering_set") / "faces.toml").read_text("utf-8")
    return tuple(
        Face(family=family, style=style, package=package, file=file, split=split)
        for split, rows in tomllib.loads(text).items()
        for family, style, package, file in rows
    )


class BenchFontsMissingError(Exception):
    """A font package of the extra is not installed."""


@cache
def _bytes(package: str, file: str) -> bytes:
    hint = f"{package} is not installed; run: pip install -e '.[bench]'"
    if file.startswith("buffer:"):
        try:
            module = importlib.import_module(package.replace("-", "_"))
        except ImportError as error:
            raise BenchFontsMissingError(hint) from error
        return bytes(module.fontbuffers[file.removeprefix("buffer:")]())
    try:
        found = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BenchFontsMissingError(hint) from error
    for path in found:
        if path.name == file:
            return path.locate().read_bytes()
    raise BenchFontsMissingError(f"{package} has no file {file}")


def load(face: Face, size_px: int) -> ImageFont.FreeTypeFont:
    """The face at an em of size_px pixels.

    Raises:
        BenchFontsMissingError: with the command that installs what is missing.
    """
    return ImageFont.truetype(io.BytesIO(_bytes(face.package, face.file)), size_px)


def faces_of(split: Split) -> tuple[Face, ...]:
    return tuple(face for face in faces() if face.split == split)
