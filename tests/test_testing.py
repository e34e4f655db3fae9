"""The contract checks catch what they promise to catch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from retoucher.agents import EditRequest, RgbArray, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.errors import Cancelled, ToolError
from retoucher.testing import (
    assert_perceiver_contract,
    assert_reasoner_contract,
    assert_tool_contract,
)

SPEC = ToolSpec(name="t", version="1", kind="mask", summary="for a test")


class ToolOf:
    """A tool made of one function."""

    def __init__(self, edit: Callable[[EditRequest], RgbArray]) -> None:
        self.spec = SPEC
        self._edit = edit

    def edit(self, request: EditRequest) -> RgbArray:
        return self._edit(request)


def good(request: EditRequest) -> RgbArray:
    if request.cancelled():
        raise Cancelled("stopped")
    if request.mask_hw.all():
        raise ToolError("nothing to go by: the mask covers the whole crop")
    out = request.crop_rgb.copy()
    out[request.mask_hw] = request.crop_rgb[~request.mask_hw].mean(axis=0).astype(np.uint8)
    return out


def identity(request: EditRequest) -> RgbArray:
    return good(replace(request, mask_hw=np.zeros_like(request.mask_hw)))


def inverted(request: EditRequest) -> RgbArray:
    out = good(request)
    out[~request.mask_hw] = 0
    return out


def wrong_size(request: EditRequest) -> RgbArray:
    return good(request)[:-1]


def floats(request: EditRequest) -> RgbArray:
    return good(request).astype(np.float32)  # type: ignore[return-value]


def unseeded(request: EditRequest) -> RgbArray:
    out = good(request)
    noise = np.random.default_rng().integers(0, 255, out.shape, np.uint8)
    out[request.mask_hw] = noise[request.mask_hw]
    return out


def deaf(request: EditRequest) -> RgbArray:
    return good(replace(request, cancelled=lambda: False))


def same_array(request: EditRequest) -> RgbArray:
    good(request)
    return request.crop_rgb


def test_a_good_tool_passes() -> None:
    assert_tool_contract(ToolOf(good))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (identity, "changed nothing"),
        (inverted, "polarity inverted"),
        (wrong_size, "size"),
        (floats, "dtype float32"),
        (unseeded, "the same seed gave other bytes"),
        (deaf, "ignores cancellation"),
        (same_array, "returned the crop itself"),
    ],
)
def test_each_breach_is_named(edit: Callable[[EditRequest], RgbArray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_tool_contract(ToolOf(edit))


class Perceiver:
    def __init__(self, shape_of: Callable[[RgbArray], tuple[int, int]], noisy: bool) -> None:
        self.info = AgentInfo(role="perceiver", name="p", version="1")
        self.shape_of, self.noisy = shape_of, noisy

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        values = np.zeros(self.shape_of(image_rgb), np.float32)
        if self.noisy:
            values += np.float32(np.random.default_rng().random())
        return SaliencyMap(values)


def test_perceiver_breaches() -> None:
    assert_perceiver_contract(Perceiver(lambda a: a.shape[:2], noisy=False))
    with pytest.raises(AssertionError, match="another size"):
        assert_perceiver_contract(Perceiver(lambda a: (a.shape[1], a.shape[0]), noisy=False))
    with pytest.raises(AssertionError, match="another map"):
        assert_perceiver_contract(Perceiver(lambda a: a.shape[:2], noisy=True))


class Reasoner:
    def __init__(self, *, backwards: bool) -> None:
        self.info = AgentInfo(role="reasoner", name="r", version="1")
        self.backwards = backwards

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        order = reversed(regions) if self.backwards else regions
        return tuple(
            Diagnosis(
                region_id=r.id, category="unknown", severity=1, description="-", confidence=0.1
            )
            for r in order
        )


def test_reasoner_breaches() -> None:
    assert_reasoner_contract(Reasoner(backwards=False))
    with pytest.raises(AssertionError, match="ids differ"):
        assert_reasoner_contract(Reasoner(backwards=True))


def test_a_tool_that_calls_itself_deterministic_must_be() -> None:
    def seeded(request: EditRequest) -> RgbArray:
        out = good(request)
        out[request.mask_hw] ^= np.uint8(request.seed % 2 + 1)
        return out

    tool = ToolOf(seeded)
    assert_tool_contract(tool)
    tool.spec = replace(SPEC, deterministic=True)
    with pytest.raises(AssertionError, match="another seed gave other bytes"):
        assert_tool_contract(tool)
