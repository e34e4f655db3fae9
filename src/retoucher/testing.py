"""For authors of plug-ins and tests: scripted doubles of the agents, and contract checks.

The doubles answer from a queue (the last answer repeats) and record what they were asked. The
checks raise AssertionError with what a plug-in does that its contract forbids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from retoucher.agents import (
    BoolArray,
    EditRequest,
    Perceiver,
    Reasoner,
    RgbArray,
    Tool,
    ToolSpec,
    VerifyRequest,
)
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict
from retoucher.errors import Cancelled, RetoucherError, ToolError

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Script(Generic[Answer]):
    answers: list[Answer]
    used: int = 0

    def next(self) -> Answer:
        answer = self.answers[min(self.used, len(self.answers) - 1)]
        self.used += 1
        return answer


def saliency_of_boxes(
    height: int, width: int, boxes: Sequence[Box], value: float = 0.9
) -> SaliencyMap:
    """A map that is `value` inside the boxes and 0 elsewhere."""
    values = np.zeros((height, width), np.float32)
    for box in boxes:
        values[box.slices] = value
    return SaliencyMap(values)


class ScriptedPerceiver:
    """Answers with the given maps in turn; `calls` holds the pictures and prompts it was given."""

    def __init__(self, maps: Sequence[SaliencyMap]) -> None:
        self._script = _Script(list(maps))
        self.calls: list[tuple[RgbArray, str]] = []

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="scripted", version="0")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        self.calls.append((image_rgb, prompt))
        return self._script.next()


class ScriptedReasoner:
    """Gives every region the verdict of the call's turn: (category, severity)."""

    def __init__(self, verdicts: Sequence[tuple[str, int]] = (("object_texture", 2),)) -> None:
        self._script = _Script(list(verdicts))
        self.calls: list[tuple[Region, ...]] = []

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="scripted", version="0")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        self.calls.append(tuple(regions))
        category, severity = self._script.next()
        return tuple(
            Diagnosis(
                region_id=region.id,
                category=category,
                severity=severity,
                description=f"scripted {category}",
                confidence=0.9,
            )
            for region in regions
        )


class ScriptedTool:
    """Runs the given functions of the request in turn; `requests` holds what it was asked."""

    def __init__(
        self,
        name: str,
        edits: Sequence[Callable[[EditRequest], RgbArray]],
        spec: ToolSpec | None = None,
    ) -> None:
        base = spec or ToolSpec(name=name, version="0", kind="mask", summary="a scripted double")
        self._spec = replace(base, name=name)
        self._script = _Script(list(edits))
        self.requests: list[EditRequest] = []

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    def edit(self, request: EditRequest) -> RgbArray:
        self.requests.append(request)
        return self._script.next()(request)


class ScriptedVerifier:
    """Accepts or rejects in turn; `requests` holds what it was asked."""

    def __init__(self, accepted: Sequence[bool] = (True,)) -> None:
        self._script = _Script(list(accepted))
        self.requests: list[VerifyRequest] = []

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="verifier", name="scripted", version="0")

    def verify(self, request: VerifyRequest) -> Verdict:
        self.requests.append(request)
        accepted = self._script.next()
        return Verdict(
            accepted=accepted,
            reason="scripted",
            score_before=0.9,
            score_after=0.1 if accepted else 0.9,
        )


def paint(value: int) -> Callable[[EditRequest], RgbArray]:
    """An edit that sets all masked pixels to one grey level."""

    def edit(request: EditRequest) -> RgbArray:
        out = request.crop_rgb.copy()
        out[request.mask_hw] = value
        return out

    return edit


def keep(request: EditRequest) -> RgbArray:
    """The identity edit."""
    return request.crop_rgb.copy()


def fail(request: EditRequest) -> RgbArray:
    """An edit that cannot be made."""
    raise ToolError("scripted failure")


def assert_tool_contract(
    tool: Tool, *, diagnosis: Diagnosis | None = None, crop_rgb: RgbArray | None = None
) -> None:
    """Check a tool against `agents.Tool`.

    Odd and tiny sizes, masks at borders and everywhere, a read-only crop, equal bytes for an equal
    seed, cancellation; refusals only by ToolError. At least the request with `crop_rgb` (or a
    textured 64 x 80 crop) and a mask in its middle must be edited, and edited inside the mask.

    Args:
        diagnosis: what the tool is to repair; default: the first category it names.
        crop_rgb: a crop on which it must succeed, uint8 (h, w, 3).

    Raises:
        AssertionError: with what the tool does wrong.
    """
    spec = tool.spec
    assert spec.name and spec.version and spec.summary, "a spec needs name, version and summary"
    crop = _textured(64, 80) if crop_rgb is None else crop_rgb
    words = diagnosis or _diagnosis(min(spec.categories, default="object_texture"))
    main = _request(crop, _middle(*crop.shape[:2]), words)
    first = _edit(tool, main)
    assert first is not None, f"{spec.name} refuses the plain case"
    assert (first != crop)[main.mask_hw].any(), f"{spec.name} changed nothing inside the mask"
    again = _edit(tool, main)
    assert again is not None, f"{spec.name} refuses what it did before"
    assert np.array_equal(first, again), f"{spec.name}: the same seed gave other bytes"
    if spec.deterministic:
        other = _edit(tool, replace(main, seed=main.seed + 1))
        same = other is not None and np.array_equal(first, other)
        assert same, f"{spec.name} calls itself deterministic, but another seed gave other bytes"
    for height, width in ((1, 1), (7, 5), (33, 61)):
        for mask in (_middle, _left_border, _everything):
            small = _textured(height, width)
            _edit(tool, _request(small, mask(height, width), words))
    _assert_cancels(tool, main)


def assert_perceiver_contract(perceiver: Perceiver) -> None:
    """Check a perceiver against `agents.Perceiver`: sizes, range, determinism, no side effects."""
    assert perceiver.info.role == "perceiver", f"info.role is {perceiver.info.role!r}"
    for height, width in ((1, 1), (5, 300), (64, 80)):
        image = _textured(height, width)
        image.setflags(write=False)
        first = perceiver.perceive(image, "a cup")
        assert first.values_hw.shape == (height, width), "the map has another size than the picture"
        again = perceiver.perceive(image, "a cup")
        assert np.array_equal(first.values_hw, again.values_hw), "the same picture, another map"


def assert_reasoner_contract(reasoner: Reasoner) -> None:
    """Check a reasoner against `agents.Reasoner`: one diagnosis per region, in order, with ids."""
    assert reasoner.info.role == "reasoner", f"info.role is {reasoner.info.role!r}"
    image = _textured(64, 80)
    image.setflags(write=False)
    boxes = (Box(40, 30, 70, 60), Box(0, 0, 1, 1), Box(0, 0, 80, 64))
    regions = [Region.from_box(box, id=f"x{i}") for i, box in enumerate(boxes)]
    diagnoses = reasoner.diagnose(image, "", regions)
    assert [d.region_id for d in diagnoses] == [r.id for r in regions], "ids differ from regions"
    assert reasoner.diagnose(image, "", regions) == diagnoses, "the same regions, other words"
    assert reasoner.diagnose(image, "", []) == (), "no regions must give no diagnoses"


def _edit(tool: Tool, request: EditRequest) -> RgbArray | None:
    """The checked result, or None where the tool refused by ToolError."""
    crop, mask = request.crop_rgb.copy(), request.mask_hw.copy()
    try:
        out = tool.edit(request)
    except ToolError as refusal:
        assert str(refusal), "a refusal needs a reason"
        return None
    name = tool.spec.name
    assert out.shape == crop.shape, f"{name}: size {out.shape} for a crop of {crop.shape}"
    assert out.dtype == np.uint8, f"{name}: dtype {out.dtype}, expected uint8"
    assert np.array_equal(request.crop_rgb, crop), f"{name} wrote into the crop it was given"
    assert np.array_equal(request.mask_hw, mask), f"{name} wrote into the mask it was given"
    assert not np.shares_memory(out, request.crop_rgb), f"{name} returned the crop itself"
    if tool.spec.kind == "mask":
        inverted = (out != crop).any(axis=2) & ~mask
        share = float(inverted.mean())
        assert share < 0.5, f"{name}: most changes lie outside the mask; is its polarity inverted?"
    return out


def _assert_cancels(tool: Tool, request: EditRequest) -> None:
    cancelled = replace(request, cancelled=lambda: True)
    try:
        tool.edit(cancelled)
    except Cancelled:
        return
    except RetoucherError as error:
        raise AssertionError(f"a cancelled edit must raise Cancelled, got {error!r}") from error
    raise AssertionError(f"{tool.spec.name} ignores cancellation")


def _request(crop_rgb: RgbArray, mask_hw: BoolArray, diagnosis: Diagnosis) -> EditRequest:
    height, width = mask_hw.shape
    crop = crop_rgb.copy()
    crop.setflags(write=False)
    mask_hw.setflags(write=False)
    return EditRequest(
        crop_rgb=crop,
        mask_hw=mask_hw,
        crop_box=Box.of_picture(height, width),
        diagnosis=diagnosis,
        instruction="the plain surface",
        seed=7,
    )


def _diagnosis(category: str) -> Diagnosis:
    return Diagnosis(
        region_id="r1", category=category, severity=2, description="for a test", confidence=1.0
    )


def _textured(height: int, width: int) -> RgbArray:
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    ramp = np.linspace(60, 190, width)[None, :, None]
    return (ramp + noise).astype(np.uint8)


def _middle(height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), bool)
    mask[height // 3 : max(height // 3 + 1, 2 * height // 3), width // 3 : 2 * width // 3 + 1] = (
        True
    )
    return mask


def _left_border(height: int, width: int) -> BoolArray:
    mask = np.zeros((height, width), bool)
    mask[:, : max(1, width // 4)] = True
    return mask


def _everything(height: int, width: int) -> BoolArray:
    return np.ones((height, width), bool)
