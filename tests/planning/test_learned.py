"""Learning from outcomes: exactly the static policy at first, then what has worked."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Plan, Preference, ToolOutcome
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import ConfigError
from retoucher.planning.learned import LearnedPlanner, LearningSettings
from retoucher.planning.outcomes import OutcomeStore, default_path
from retoucher.planning.policy import StaticPlanner

FIRST = ToolSpec(name="first", version="1", kind="mask", summary="-", priority=9)
SECOND = replace(FIRST, name="second", priority=1)
GOOD = ToolOutcome(
    category="hand_shape",
    side_px=50.0,
    tool="second",
    tool_version="1",
    accepted=True,
    improvement=0.8,
    seconds=1.0,
)
BAD = replace(GOOD, tool="first", accepted=False, improvement=0.0)


def request(
    seed: int = 0, category: str = "hand_shape", preference: Preference | None = None
) -> PlanRequest:
    region = Region.from_box(Box(0, 0, 50, 50), id="r1")
    diagnosis = Diagnosis(
        region_id="r1", category=category, severity=2, description="-", confidence=0.9
    )
    return PlanRequest(
        regions=[region],
        diagnoses=[diagnosis],
        prompt="",
        preference=preference or Preference(),
        tools=[SECOND, FIRST],
        tried={},
        seed=seed,
    )


def planner(folder: Path, *outcomes: ToolOutcome, times: int = 1) -> LearnedPlanner:
    learned = LearnedPlanner(LearningSettings(enabled=True, path=str(folder / "sub" / "o.sqlite3")))
    for outcome in outcomes * times:
        learned.learn(outcome)
    return learned


def tool_of(plan: Plan) -> str | None:
    return plan.steps[0].tool


def test_without_history_it_is_the_static_policy(tmp_path: Path) -> None:
    learned = planner(tmp_path)
    for category in taxonomy():
        for seed in range(5):
            asked = request(seed, category)
            assert learned.plan(asked) == StaticPlanner().plan(asked)
    assert not (tmp_path / "sub").exists(), "planning alone must write nothing"


def test_history_of_other_tools_or_versions_changes_nothing(tmp_path: Path) -> None:
    learned = planner(tmp_path, replace(GOOD, tool="third"), replace(GOOD, tool_version="0"))
    assert learned.plan(request()) == StaticPlanner().plan(request())


def test_it_takes_what_has_worked_and_says_why(tmp_path: Path) -> None:
    learned = planner(tmp_path, GOOD, BAD, times=20)
    taken = Counter(tool_of(learned.plan(request(seed))) for seed in range(40))
    assert taken["second"] == 40
    assert "second is taken for hand_shape by what became of earlier edits" in (
        learned.plan(request()).steps[0].reason
    )


def test_a_little_history_still_explores(tmp_path: Path) -> None:
    learned = planner(tmp_path, BAD)
    taken = Counter(tool_of(learned.plan(request(seed))) for seed in range(60))
    assert 5 < taken["first"] < 55


def test_same_seed_and_history_same_plan(tmp_path: Path) -> None:
    learned = planner(tmp_path, GOOD, BAD)
    again = LearnedPlanner(store=OutcomeStore(learned.store.path))
    assert [learned.plan(request(s)) for s in range(20)] == [
        again.plan(request(s)) for s in range(20)
    ]


def test_a_tool_that_got_worse_is_noticed(tmp_path: Path) -> None:
    fine, worse = replace(BAD, tool="second"), replace(GOOD, tool="first")
    learned = planner(tmp_path, GOOD, BAD, times=60)
    for _ in range(60):
        learned.learn(fine)  # second fails now
        learned.learn(worse)  # and first works
    taken = Counter(tool_of(learned.plan(request(seed))) for seed in range(40))
    assert taken["first"] >= 36


def test_cost_counts(tmp_path: Path) -> None:
    dear = replace(GOOD, tool="first", cost_usd=0.7)
    learned = planner(tmp_path, GOOD, dear, times=20)
    assert all(tool_of(learned.plan(request(seed))) == "second" for seed in range(20))


def test_the_users_own_order_goes_first(tmp_path: Path) -> None:
    learned = planner(tmp_path, GOOD, BAD, times=20)
    assert tool_of(learned.plan(request(preference=Preference(prefer=("first",))))) == "first"
    only = Preference(tools=("first", "second"))
    assert tool_of(learned.plan(request(preference=only))) == "first"


def test_another_dimension_learns_nothing_from_this_one(tmp_path: Path) -> None:
    learned = planner(tmp_path, GOOD, BAD, times=20)
    assert tool_of(learned.plan(request(category="object_texture"))) == "first"


def test_history_adds_up(tmp_path: Path) -> None:
    learned = planner(tmp_path, GOOD, BAD, GOOD)
    first, second = learned.store.history()
    assert (first.tool, first.edits, first.accepted) == ("second", 2, 2)
    assert first.improvement == pytest.approx(0.8)
    assert (second.tool, second.edits, second.accepted, second.improvement) == ("first", 1, 0, 0.0)
    assert learned.info.settings["outcomes"] == 3


ADD = """
import sys
from pathlib import Path
from retoucher.domain.plan import ToolOutcome
from retoucher.planning.outcomes import OutcomeStore
store = OutcomeStore(Path(sys.argv[1]))
for _ in range(25):
    store.add(ToolOutcome(category="hand_shape", side_px=9.0, tool=sys.argv[2], tool_version="1",
                          accepted=True, improvement=0.5, seconds=1.0))
"""


def test_several_processes_add_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "o.sqlite3"
    running = [
        subprocess.Popen([sys.executable, "-c", ADD, str(file), f"tool{i}"]) for i in range(3)
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert [row.edits for row in OutcomeStore(file).history()] == [25, 25, 25]


def test_a_file_that_is_no_history_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "o.sqlite3"
    file.write_bytes(b"not a database, but long enough to look at" * 50)
    store = OutcomeStore(file)
    with pytest.raises(ConfigError, match="cannot be used as the history"):
        store.history()
    with pytest.warns(RuntimeWarning, match="was not remembered"):
        LearnedPlanner(store=store).learn(GOOD)
    assert file.read_bytes().startswith(b"not a database")


def test_a_history_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "o.sqlite3"
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ConfigError, match="another version"):
        OutcomeStore(file).count()


def test_the_platforms_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "agentic-retoucher" / "outcomes.sqlite3"
    assert LearningSettings(path="~/x.db").file == Path.home() / "x.db"


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"discount": 0.0}, {"second_cost": -1.0}):
        with pytest.raises(ConfigError):
            LearningSettings(**wrong)
