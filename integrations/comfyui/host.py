"""What the nodes need of ComfyUI itself: progress, previews, interruption, settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retoucher.api import Retoucher
from retoucher.config import Settings, load_settings
from retoucher.errors import Cancelled

SETTINGS = Path(__file__).with_name("settings.toml")
"""The user's settings for all nodes of the pack; a workflow cannot change what they forbid."""

PREVIEW_PX = 512


class Progress:
    """The bar of the running node, with a picture; nothing where there is no ComfyUI."""

    def __init__(self, total: int) -> None:
        self.total = total
        try:
            from comfy.utils import ProgressBar
        except ImportError:
            self._bar: Any = None
        else:
            self._bar = ProgressBar(total)

    def to(self, done: int, picture_rgb: NDArray[np.uint8] | None = None) -> None:
        """So many steps are done; the picture is shown in the node."""
        if self._bar is None:
            return
        preview = None
        if picture_rgb is not None:
            preview = ("JPEG", Image.fromarray(picture_rgb), PREVIEW_PX)
        self._bar.update_absolute(min(done, self.total), self.total, preview)


def interrupted() -> bool:
    """Whether the user pressed ComfyUI's stop button."""
    try:
        from comfy.model_management import processing_interrupted
    except ImportError:
        return False
    return bool(processing_interrupted())


def stop_if_interrupted() -> None:
    """Raise what ComfyUI expects of an interrupted node."""
    if not interrupted():
        return
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
    except ImportError as error:
        raise Cancelled("stopped") from error
    throw_exception_if_processing_interrupted()


def output_folder(name: str) -> Path:
    """A folder below ComfyUI's output folder; it is made when something is written.

    Raises:
        ValueError: it lies elsewhere: a workflow from somebody else must not choose that.
    """
    import folder_paths

    base = Path(folder_paths.get_output_directory()).resolve()
    folder = (base / name).resolve()
    if folder == base or not folder.is_relative_to(base):
        raise ValueError(f"folder {name!r}: give a folder below ComfyUI's output folder")
    return folder


def base_settings() -> Settings:
    """The settings of the pack: its settings.toml where there is one, else the defaults.

    Raises:
        retoucher.errors.ConfigError: it cannot be used.
    """
    return load_settings(SETTINGS) if SETTINGS.exists() else Settings()


def retoucher_for(settings: Settings) -> Retoucher:
    """A retoucher with these settings; the last one is kept, with its models loaded."""
    key = repr(settings)
    if key not in _kept:
        retoucher = Retoucher.from_profile(settings=settings)
        _kept.clear()
        _kept[key] = retoucher
    return _kept[key]


_kept: dict[str, Retoucher] = {}
