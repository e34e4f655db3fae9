"""The static policy: which tool, and why not the others."""

from __future__ import annotations

from dataclasses import replace

from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference, Step
from retoucher.domain.region import Region
from retoucher.planning.policy import StaticPlanner

BASE = ToolSpec(name="any", version="1", kind="mask", summary="-")
LETTERING = replace(
    BASE,
    name="lettering",
    priority=10,
    categories=frozenset({"text_wrong", "text_garbled"}),
    requires_evidence=frozenset({"intended_text"}),
)
REMOVAL = replace(
    BASE,
    name="removal",
    categories=frozenset({"text_garbled", "text_wrong"}),
    excluded_by_evidence=frozenset({"intended_text"}),
)
CLOUD = replace(BASE, name="cloud", network=True, priority=50)
KNOWN = Evidence(kind="intended_text", data={"intended": "OPEN {DAILY}", "read": "OPNE"})


def plan_one(
    *tools: ToolSpec,
    category: str = "text_wrong",
    severity: int = 2,
    confidence: float = 0.9,
    evidence: tuple[Evidence, ...] = (),
    preference: Preference | None = None,
    tried: frozenset[str] = frozenset(),
) -> Step:
    diagnosis = Diagnosis(
        region_id="r1",
        category=category,
        severity=severity,
        description="-",
        confidence=confidence,
        evidence=evidence,
    )
    request = PlanRequest(
        regions=[Region.from_box(Box(0, 0, 4, 4), id="r1")],
        diagnoses=[diagnosis],
        prompt="",
        preference=preference or Preference(),
        tools=tools,
        tried={"r1": tried},
        seed=5,
    )
    (step,) = StaticPlanner().plan(request).steps
    return step


def test_known_words_are_lettered_and_unknown_ones_removed() -> None:
    known = plan_one(LETTERING, REMOVAL, evidence=(KNOWN,))
    assert known.tool == "lettering"
    assert '"OPEN {DAILY}"' in known.instruction
    unknown = plan_one(LETTERING, REMOVAL)
    assert unknown.tool == "removal"
    assert unknown.seed == 5


def test_what_is_asked_for_is_never_removed_unless_the_user_names_the_tool() -> None:
    step = plan_one(LETTERING, REMOVAL, evidence=(KNOWN,), tried=frozenset({"lettering"}))
    assert step.tool is None
    assert "is the wrong choice where the evidence is intended text" in step.reason
    named = plan_one(
        LETTERING, REMOVAL, evidence=(KNOWN,), preference=Preference(tools=("removal",))
    )
    assert named.tool == "removal"


def test_a_named_tool_may_repair_what_it_is_not_made_for() -> None:
    wrong = plan_one(REMOVAL, category="hand_shape")
    assert wrong.tool is None
    assert "is not made for hand_shape" in wrong.reason
    named = plan_one(REMOVAL, category="hand_shape", preference=Preference(tools=("removal",)))
    assert named.tool == "removal"


def test_network_tools_need_permission() -> None:
    assert plan_one(CLOUD).tool is None
    assert plan_one(CLOUD, preference=Preference(offline=False)).tool == "cloud"


def test_the_users_order_beats_priority_and_avoid_rules_out() -> None:
    other = replace(BASE, name="other", priority=99)
    assert plan_one(BASE, other).tool == "other"
    assert plan_one(BASE, other, preference=Preference(tools=("any", "other"))).tool == "any"
    assert plan_one(BASE, other, preference=Preference(avoid=frozenset({"other"}))).tool == "any"


def test_every_reason_to_leave_is_given() -> None:
    reasons = {
        "nothing is wrong here": plan_one(BASE, category="no_defect", severity=0),
        "it is not known what is wrong here": plan_one(BASE, category="unknown"),
        "text_wrong is skipped by preference": plan_one(
            BASE, preference=Preference(skip=frozenset({"text_wrong"}))
        ),
        "only hand_shape is repaired by preference": plan_one(
            BASE, preference=Preference(only=frozenset({"hand_shape"}))
        ),
        "severity 2 is below 3": plan_one(BASE, preference=Preference(min_severity=3)),
        "confidence 0.40 is below 0.60": plan_one(BASE, confidence=0.4),
    }
    for reason, step in reasons.items():
        assert step.tool is None
        assert step.reason == reason
        assert step.instruction == ""
