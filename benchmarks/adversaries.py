"""Tools that do harm, and two that do good, for benchmarks/verification.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import EditRequest, RgbArray, ToolSpec

Float = NDArray[np.float32]
Edit = Callable[[EditRequest], RgbArray]


def _side(request: EditRequest) -> float:
    return max(4.0, float(np.sqrt(request.mask_hw.sum())))


def _inside(request: EditRequest, made: NDArray[np.generic]) -> RgbArray:
    out = request.crop_rgb.copy()
    out[request.mask_hw] = np.clip(np.rint(made), 0, 255).astype(np.uint8)[request.mask_hw]
    return out


def _blurred(request: EditRequest, share: float) -> RgbArray:
    sigma = max(1.5, share * _side(request))
    return _inside(request, cv2.GaussianBlur(request.crop_rgb, (0, 0), sigma))


def identity(request: EditRequest) -> RgbArray:
    return request.crop_rgb.copy()


def noise(request: EditRequest) -> RgbArray:
    grain = np.random.default_rng(request.seed).normal(0, 25, request.crop_rgb.shape)
    return _inside(request, request.crop_rgb + grain)


def slight_blur(request: EditRequest) -> RgbArray:
    return _blurred(request, 0.04)


def blur(request: EditRequest) -> RgbArray:
    return _blurred(request, 0.1)


def hide_by_blur(request: EditRequest) -> RgbArray:
    """So much that no detector sees a defect."""
    return _blurred(request, 0.35)


def smooth_membrane(request: EditRequest) -> RgbArray:
    """The colours of the border stretched over the place."""
    hole = request.mask_hw.astype(np.uint8)
    if hole.all():
        return _blurred(request, 0.35)
    return np.asarray(
        cv2.inpaint(np.ascontiguousarray(request.crop_rgb), hole, 3, cv2.INPAINT_NS), np.uint8
    )


def pixelate(request: EditRequest) -> RgbArray:
    h, w = request.mask_hw.shape
    small = cv2.resize(request.crop_rgb, (max(1, w // 8), max(1, h // 8)), interpolation=3)
    return _inside(request, cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST))


def colour_shift(request: EditRequest) -> RgbArray:
    return _inside(request, request.crop_rgb + np.array([35, -20, -35], np.float32))


def black(request: EditRequest) -> RgbArray:
    return _inside(request, np.zeros_like(request.crop_rgb))


def wrong_size(request: EditRequest) -> RgbArray:
    return np.ascontiguousarray(request.crop_rgb[:-1, :-1])


def moved(request: EditRequest) -> RgbArray:
    """Everything in the crop an eighth of the place's side to the right and down."""
    step = max(3, round(_side(request) / 8))
    return _inside(request, np.roll(request.crop_rgb, (step, step), (0, 1)))


def pasted(request: EditRequest) -> RgbArray:
    """Something else of the same picture."""
    return _inside(request, request.crop_rgb[::-1, ::-1])


def whole_picture(request: EditRequest) -> RgbArray:
    """Everything repainted: other contrast, other colours, a little soft."""
    soft = cv2.GaussianBlur(request.crop_rgb, (0, 0), 1.2).astype(np.float32)
    out = 255 * (soft / 255) ** 1.35 * np.array([1.05, 0.97, 0.9], np.float32)
    return np.clip(out, 0, 255).astype(np.uint8)


HARMFUL: Mapping[str, Edit] = {
    f.__name__: f
    for f in (
        identity,
        noise,
        slight_blur,
        blur,
        hide_by_blur,
        smooth_membrane,
        pixelate,
        colour_shift,
        black,
        wrong_size,
        moved,
        pasted,
        whole_picture,
    )
}


def clean_twin(twin_rgb: RgbArray) -> Edit:
    """The right repair: what the picture looks like without the defect."""

    def edit(request: EditRequest) -> RgbArray:
        return twin_rgb[request.crop_box.slices].copy()

    return edit


def redrawn_twin(twin_rgb: RgbArray) -> Edit:
    """The right repair as a generator makes it: coded and decoded, a little off in colour."""

    def edit(request: EditRequest) -> RgbArray:
        made = twin_rgb[request.crop_box.slices].astype(np.float32) + np.array([3, -2, 2])
        bgr = np.clip(made[..., ::-1], 0, 255).astype(np.uint8)
        ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
        assert ok
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        return np.ascontiguousarray(decoded[..., ::-1])

    return edit


GOOD: Mapping[str, Callable[[RgbArray], Edit]] = {
    "clean_twin": clean_twin,
    "redrawn_twin": redrawn_twin,
}


class EditTool:
    """One of these edits as a tool."""

    def __init__(self, name: str, edit: Edit) -> None:
        self._name, self._edit = name, edit

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(name=self._name, version="1", kind="mask", summary="-", context_factor=2.0)

    def edit(self, request: EditRequest) -> RgbArray:
        return self._edit(request)
