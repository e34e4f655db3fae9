"""The user's limits, what they rule out, and which regions one edit serves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Plan, Preference
from retoucher.domain.region import Region
from retoucher.planning.policy import StaticPlanner

SMALL = ToolSpec(
    name="small", version="1", kind="mask", summary="-", uses_prompt=True, latency_s=2.0
)
LARGE = replace(
    SMALL, name="large", priority=9, memory_gb=24.0, latency_s=30.0, cost_usd=0.04, licence="NC"
)
LEFT, RIGHT, FAR = Box(0, 0, 40, 40), Box(50, 0, 90, 40), Box(400, 0, 440, 40)


def plan(
    *tools: ToolSpec,
    boxes: tuple[Box, ...] = (LEFT,),
    categories: tuple[str, ...] | None = None,
    preference: Preference | None = None,
    tried: dict[str, frozenset[str]] | None = None,
    apart: frozenset[str] = frozenset(),
    seconds: float | None = None,
    usd: float | None = None,
) -> Plan:
    regions = [Region.from_box(box, id=f"r{i}") for i, box in enumerate(boxes, 1)]
    names = categories or ("hand_shape",) * len(boxes)
    diagnoses = [
        Diagnosis(region_id=r.id, category=name, severity=2, description="-", confidence=0.9)
        for r, name in zip(regions, names, strict=True)
    ]
    return StaticPlanner().plan(
        PlanRequest(
            regions=regions,
            diagnoses=diagnoses,
            prompt="",
            preference=preference or Preference(),
            tools=tools,
            tried=tried or {},
            seed=0,
            apart=apart,
            time_left_s=seconds,
            money_left_usd=usd,
        )
    )


@pytest.mark.parametrize(
    ("preference", "against"),
    [
        (Preference(max_memory_gb=8), "needs 24 GB of memory, 8 are allowed"),
        (Preference(max_edit_s=10), "takes about 30 s, 10 are allowed"),
        (Preference(licences=frozenset({"Apache-2.0"})), "is under NC"),
        (Preference(avoid=frozenset({"large"})), "is avoided by preference"),
    ],
)
def test_limits_rule_out_the_best_tool_and_the_step_says_so(
    preference: Preference, against: str
) -> None:
    assert plan(SMALL, LARGE).steps[0].tool == "large"
    (step,) = plan(SMALL, LARGE, preference=preference).steps
    assert step.tool == "small"
    assert list(step.ruled_out) == ["large"]
    assert step.ruled_out["large"].startswith(against)


def test_speed_before_quality_and_tools_to_prefer() -> None:
    assert plan(SMALL, LARGE, preference=Preference(quality_over_speed=False)).steps[0].tool == (
        "small"
    )
    preferred = plan(SMALL, LARGE, preference=Preference(prefer=("small",))).steps[0]
    assert preferred.tool == "small"
    assert "preferred" in preferred.reason
    fallback = plan(
        SMALL, LARGE, preference=Preference(prefer=("small",)), tried={"r1": frozenset({"small"})}
    )
    assert fallback.steps[0].tool == "large"


def test_time_and_money_of_earlier_steps_are_gone_for_later_ones() -> None:
    steps = plan(SMALL, LARGE, boxes=(LEFT, FAR), seconds=50).steps
    assert [s.tool for s in steps] == ["large", "small"]
    assert steps[1].ruled_out["large"] == "takes about 30 s, 20 are left"
    steps = plan(LARGE, boxes=(LEFT, FAR), usd=0.05).steps
    assert [s.tool for s in steps] == ["large", None]
    assert "costs about $0.04, $0.010 are left" in steps[1].reason


def test_a_preference_that_cannot_be_is_refused() -> None:
    for wrong in ({"min_severity": 4}, {"min_confidence": 2.0}, {"max_cost_usd": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Preference(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="both preferred and avoided"):
        Preference(tools=("a",), avoid=frozenset({"a"}))


def test_one_edit_serves_neighbours_with_the_same_defect() -> None:
    first, second, third = plan(SMALL, boxes=(LEFT, RIGHT, FAR)).steps
    assert first.serves == ("r2",)
    assert second.tool is None
    assert second.reason == "repaired together with r1"
    assert third.tool == "small"
    assert third.serves == ()


@pytest.mark.parametrize(
    ("tool", "options"),
    [
        (replace(SMALL, uses_prompt=False), {}),
        (SMALL, {"categories": ("hand_shape", "hand_finger_count")}),
        (SMALL, {"boxes": (LEFT, FAR)}),
        (SMALL, {"apart": frozenset({"r2"})}),
        (SMALL, {"tried": {"r1": frozenset({"other"})}}),
        (SMALL, {"boxes": (Box(0, 0, 200, 20), Box(0, 25, 20, 200))}),
    ],
)
def test_what_must_stay_apart(tool: ToolSpec, options: dict[str, object]) -> None:
    steps = plan(tool, **{"boxes": (LEFT, RIGHT), **options}).steps  # type: ignore[arg-type]
    assert all(step.tool is not None and not step.serves for step in steps)
