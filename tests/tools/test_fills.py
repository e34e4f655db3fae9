"""The filling tools: contract, quality on known surfaces, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retoucher.agents import EditRequest, PlanRequest, Tool
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference, Step
from retoucher.domain.region import Region
from retoucher.errors import Cancelled, ToolError
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import assert_tool_contract
from retoucher.tools.opencv_inpaint import OpenCvInpaintTool
from retoucher.tools.patchmatch import PatchMatchTool
from tests.tools.scenes import lettered, request

TOOLS: list[Tool] = [PatchMatchTool(), OpenCvInpaintTool()]
TEXTURE = Diagnosis(
    region_id="r1",
    category="object_texture",
    severity=2,
    description="a blot",
    confidence=0.9,
)


def _stripes(height: int, width: int) -> np.ndarray:
    """Upright stripes with a little noise: a wrong fill shows as a broken stripe."""
    wave = 128 + 80 * np.sign(np.sin(np.arange(width) * 2 * np.pi / 12))
    noise = np.random.default_rng(1).normal(0, 3, (height, width, 3))
    return np.clip(wave[None, :, None] + noise, 0, 255).astype(np.uint8)


def _ask(crop: np.ndarray, mask: np.ndarray, **changes: object) -> EditRequest:
    asked = EditRequest(
        crop_rgb=crop, mask_hw=mask, crop_box=Box.of_picture(*mask.shape), diagnosis=TEXTURE
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.spec.name)
def test_contract(tool: Tool) -> None:
    assert_tool_contract(tool)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.spec.name)
def test_hole_at_the_corner_is_filled_and_the_rest_untouched(tool: Tool) -> None:
    truth = _stripes(61, 83)
    mask = np.zeros((61, 83), bool)
    mask[:9, :7] = True
    spoilt = truth.copy()
    spoilt[mask] = (255, 0, 255)
    out = tool.edit(_ask(spoilt, mask))
    assert np.array_equal(out[~mask], truth[~mask])
    assert (np.abs(out[mask].astype(int) - (255, 0, 255)).sum(-1) > 60).all()


def test_patchmatch_continues_texture() -> None:
    truth = _stripes(96, 120)
    mask = np.zeros((96, 120), bool)
    mask[35:60, 40:80] = True
    spoilt = truth.copy()
    spoilt[mask] = 0
    out = PatchMatchTool().edit(_ask(spoilt, mask))
    right = np.abs(out[mask].astype(int) - truth[mask]).max(-1) < 40
    assert right.mean() > 0.9


def test_a_large_crop_is_searched_smaller_and_keeps_its_size() -> None:
    truth = _stripes(300, 401)
    mask = np.zeros((300, 401), bool)
    mask[140:160, 180:230] = True
    spoilt = truth.copy()
    spoilt[mask] = 0
    out = PatchMatchTool(max_area_px=30_000).edit(_ask(spoilt, mask))
    assert out.shape == truth.shape
    assert np.array_equal(out[~mask], truth[~mask])
    assert (out[mask] > 20).all()


def test_patchmatch_seed_decides() -> None:
    noise = np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:44, 20:44] = True
    first, again, other = (PatchMatchTool().edit(_ask(noise, mask, seed=s)) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.spec.name)
def test_refusals(tool: Tool) -> None:
    crop = _stripes(20, 20)
    with pytest.raises(ToolError, match="covers the whole crop"):
        tool.edit(_ask(crop, np.ones((20, 20), bool)))
    with pytest.raises(ToolError, match="empty"):
        tool.edit(_ask(crop, np.zeros((20, 20), bool)))
    mask = np.eye(20, dtype=bool)
    with pytest.raises(Cancelled):
        tool.edit(_ask(crop, mask, cancelled=lambda: True))


def test_settings_are_checked() -> None:
    mask = np.eye(20, dtype=bool)
    with pytest.raises(ToolError, match="radius_px"):
        PatchMatchTool().edit(_ask(_stripes(20, 20), mask, params={"radius_px": 0}))
    with pytest.raises(ToolError, match="telea"):
        OpenCvInpaintTool().edit(_ask(_stripes(20, 20), mask, params={"method": "magic"}))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.spec.name)
def test_lettering_is_removed_stroke_by_stroke(tool: Tool) -> None:
    scene = lettered("QXZRT", kind="graded", ink=(250, 250, 240))
    asked = request(scene, "QXZRT", "")
    out = tool.edit(asked)
    old = np.abs(scene.image.astype(int) - scene.bare).sum(-1) > 60
    assert np.abs(out[old].astype(int) - scene.bare[old]).mean() < 8
    # Between the letters the surface is the very same pixels.
    kept = (out == scene.image).all(-1) & asked.mask_hw
    assert kept.sum() > 0.3 * asked.mask_hw.sum()


def test_what_is_judged_by_its_looks_alone_is_not_removed_unasked() -> None:
    region = Region.from_box(Box(4, 4, 40, 20), id="r1")
    looks = Evidence(kind="looks", data={"category": "text_garbled", "share": 0.9, "defect": 0.9})
    diagnosis = Diagnosis(
        region_id="r1",
        category="text_garbled",
        severity=2,
        description="-",
        confidence=0.9,
        evidence=(looks,),
    )

    def step(preference: Preference) -> Step:
        request = PlanRequest(
            regions=[region],
            diagnoses=[diagnosis],
            prompt="",
            preference=preference,
            tools=[PatchMatchTool().spec, OpenCvInpaintTool().spec],
            tried={},
            seed=0,
        )
        return StaticPlanner().plan(request).steps[0]

    assert step(Preference()).tool is None
    assert step(Preference(tools=("patchmatch",))).tool == "patchmatch"
