"""What hides a defect without repairing it does not fit; what repairs it does."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from retoucher.agents import RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.verdict import Check
from retoucher.errors import ConfigError
from retoucher.verification.fit import FitSettings, fit_checks

H, W = 160, 200
BOX = Box(60, 50, 130, 110)


def scene(seed: int = 0) -> RgbArray:
    """Soft shapes with edges and a little grain, as a photograph has."""
    rng = np.random.default_rng(seed)
    rgb = np.full((H, W, 3), (150, 130, 110), np.uint8)
    for _ in range(60):
        centre = tuple(int(v) for v in rng.integers(0, (W, H)))
        colour = tuple(int(v) for v in rng.integers(90, 190, 3))
        cv2.circle(rgb, centre, int(rng.integers(4, 22)), colour, -1, cv2.LINE_AA)
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def spoiled() -> RgbArray:
    """The scene with the place warped."""
    rgb = scene()
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    warped = cv2.remap(rgb, x + 6 * np.sin(y / 5), y + 6 * np.sin(x / 6), cv2.INTER_LINEAR)
    return pasted(rgb, np.asarray(warped, np.uint8))


def pasted(before: RgbArray, made: RgbArray | np.ndarray) -> RgbArray:
    """With a feathered border, as the stitch makes it."""
    mask = np.zeros((H, W), np.float32)
    mask[BOX.y0 + 2 : BOX.y1 - 2, BOX.x0 + 2 : BOX.x1 - 2] = 1
    alpha = cv2.blur(mask, (5, 5))[..., None]
    out = before + alpha * (np.asarray(made, np.float32) - before)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def checked(
    edit: Callable[[RgbArray], np.ndarray], category: str = "object_structure"
) -> dict[str, Check]:
    before = spoiled()
    after = pasted(before, edit(before))
    diagnosis = Diagnosis(
        region_id="r1", category=category, severity=2, description="-", confidence=0.9
    )
    request = VerifyRequest(
        before_rgb=before,
        after_rgb=after,
        region=Region.from_box(BOX, id="r1"),
        diagnosis=diagnosis,
        changed_box=BOX,
        prompt="",
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )
    return {check.name: check for check in fit_checks(request, FitSettings())}


def blur(sigma: float) -> Callable[[RgbArray], np.ndarray]:
    return lambda rgb: np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma))


def shift(*levels: float) -> Callable[[RgbArray], np.ndarray]:
    return lambda rgb: rgb.astype(np.float32) + np.array(levels, np.float32)


def noise(sigma: float) -> Callable[[RgbArray], np.ndarray]:
    return lambda rgb: rgb + np.random.default_rng(1).normal(0, sigma, rgb.shape)


def test_the_right_repair_fits() -> None:
    checks = checked(lambda _: scene())
    assert list(checks) == ["seam", "colour", "sharpness", "noise", "mosaic"]
    assert all(check.passed for check in checks.values()), checks


def test_so_does_a_repair_that_is_drawn_anew_with_other_grain() -> None:
    rng = np.random.default_rng(9)
    checks = checked(lambda _: scene() + rng.normal(0, 1.5, (H, W, 3)) + 2)
    assert all(check.passed for check in checks.values()), checks


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("sharpness", blur(1.2)),
        ("sharpness", blur(3.0)),
        ("sharpness", blur(15.0)),
        ("noise", noise(20.0)),
        ("colour", shift(30, -20, -30)),
        ("colour", shift(40, 40, 40)),
        ("colour", np.zeros_like),
    ],
)
def test_what_does_not_fit_is_named(name: str, edit: Callable[[RgbArray], np.ndarray]) -> None:
    checks = checked(edit)
    assert not checks[name].passed, checks[name]
    assert checks[name].detail


def test_blocks_of_flat_colour_are_no_repair() -> None:
    def pixelate(rgb: RgbArray) -> np.ndarray:
        small = cv2.resize(rgb, (W // 8, H // 8), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (W, H), interpolation=cv2.INTER_NEAREST))

    assert not checked(pixelate)["sharpness"].passed
    assert not checked(pixelate)["mosaic"].passed
    tiles = np.random.default_rng(5).normal(0, 20, (H // 8, W // 8, 3)).repeat(8, 0).repeat(8, 1)
    loud = checked(lambda rgb: pixelate(scene()) + tiles)  # no lack of contrast
    assert not loud["mosaic"].passed
    assert "a mosaic" in loud["mosaic"].detail


def test_flat_ground_may_become_flat_ground() -> None:
    """Drawings have hardly a pixel that differs from its neighbours; that is no mosaic."""
    before = np.full((H, W, 3), 200, np.uint8)
    cv2.circle(before, (95, 80), 12, (90, 60, 40), -1)
    request = VerifyRequest(
        before_rgb=before,
        after_rgb=pasted(before, np.full((H, W, 3), 200, np.uint8)),
        region=Region.from_box(BOX, id="r1"),
        diagnosis=Diagnosis(
            region_id="r1", category="object_structure", severity=2, description="", confidence=0.9
        ),
        changed_box=BOX,
        prompt="",
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )
    assert next(c for c in fit_checks(request, FitSettings()) if c.name == "mosaic").passed


def test_lettering_may_become_paper() -> None:
    """Smoother than before is fine where the surroundings are as smooth."""
    rng = np.random.default_rng(2)
    paper = np.clip(200 + rng.normal(0, 2, (H, W, 3)), 0, 255).astype(np.uint8)
    before = paper.copy()
    cv2.putText(before, "GSB", (72, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 40), 2)
    request = VerifyRequest(
        before_rgb=before,
        after_rgb=pasted(before, paper),
        region=Region.from_box(BOX, id="r1"),
        diagnosis=Diagnosis(
            region_id="r1", category="text_garbled", severity=2, description="-", confidence=0.9
        ),
        changed_box=BOX,
        prompt="",
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )
    assert all(check.passed for check in fit_checks(request, FitSettings()))


def test_an_edit_of_one_pixel_at_the_corner_is_judged_too() -> None:
    before = scene()
    after = before.copy()
    after[0, 0] = 255 - after[0, 0]
    request = VerifyRequest(
        before_rgb=before,
        after_rgb=after,
        region=Region.from_box(Box(0, 0, 5, 5), id="r1"),
        diagnosis=Diagnosis(
            region_id="r1", category="hand_shape", severity=2, description="-", confidence=0.9
        ),
        changed_box=Box(0, 0, 1, 1),
        prompt="",
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )
    assert len(fit_checks(request, FitSettings())) == 5


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"seam_ratio": 0.5}, {"colour": 0.0}, {"softness": 1.0}, {"variety": 1.5}):
        with pytest.raises(ConfigError):
            FitSettings(**wrong)


def test_crisp_letters_set_anew_on_a_plain_ground_are_no_noise() -> None:
    before = np.full((H, W, 3), 205, np.uint8)
    after = before.copy()
    for rgb, text in ((before, "FESTVIAL"), (after, "FESTIVAL")):
        cv2.putText(rgb, text, (62, 85), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (20, 20, 60), 2)
    differs = np.flatnonzero((before != after).any(axis=(0, 2)))
    box = Box(int(differs[0]), 70, int(differs[-1]) + 1, 90)
    request = VerifyRequest(
        before_rgb=before,
        after_rgb=after,
        region=Region.from_box(Box(58, 66, 134, 92), id="r1"),
        diagnosis=Diagnosis(
            region_id="r1", category="text_wrong", severity=2, description="-", confidence=0.9
        ),
        changed_box=box,
        prompt="",
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )
    checks = fit_checks(request, FitSettings())
    assert all(check.passed for check in checks), checks
