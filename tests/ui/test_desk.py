from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from retoucher.api import Result
from retoucher.config import Settings
from retoucher.data.feedback import read_feedback
from retoucher.domain.events import EditJudged
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.trace import StopReason
from retoucher.errors import InputError
from retoucher.imaging.files import read_picture
from retoucher.imaging.regions import RegionSettings
from retoucher.report import Recorder
from retoucher.review import Repair
from retoucher.ui import feedback
from retoucher.ui.corrections import Correction
from retoucher.ui.desk import Desk, Order, Wishes
from retoucher.ui.forms import at_threshold, read_correction, read_wishes
from retoucher.ui.progress import Progress
from retoucher.ui.session import Repaired, Session
from tests.ui.magenta import retoucher, wall

A, B = Box(20, 20, 60, 60), Box(120, 40, 160, 90)


@pytest.fixture(scope="module")
def desk():
    desk = Desk(retoucher())
    yield desk
    desk.close()


def session_of(desk: Desk, *boxes: Box) -> Session:
    session = Session()
    session.open(read_picture(wall(*boxes)), "wall.png")
    session.found(desk.find(session.need_picture, session.given_prompt), Preference())
    return session


def order_of(session: Session, **wishes) -> Order:
    return Order(
        picture=session.need_picture,
        prompt=session.given_prompt,
        regions=[p.region for p in session.chosen],
        said={p.region.id: p.diagnosis for p in session.chosen},
        edited=[p.region.id for p in session.chosen if not p.correction.is_empty],
        settings=Wishes(**wishes).apply(Settings()),
    )


def test_a_run_is_told_event_by_event_and_ends_with_its_result(desk: Desk) -> None:
    session = session_of(desk, A, B)
    session.place("r1").correction = Correction(category="face_feature")
    progress = Progress()
    *events, result = desk.repair(order_of(session), lambda: False)
    for event in events:
        progress.see(event)
    assert isinstance(result, Result)
    assert result.trace.stop is StopReason.CONVERGED
    first = result.trace.rounds[0].diagnoses
    assert [d.category for d in first] == ["face_feature", "object_texture"]
    html = progress.html("all done")
    assert "all done" in html
    assert html.count('<span class="chip good">accepted</span>') == 2
    assert "Round 1 of at most 3" in html


def test_a_stopped_run_keeps_what_was_accepted(desk: Desk) -> None:
    stop = threading.Event()
    items = []
    for item in desk.repair(order_of(session_of(desk, A, B)), stop.is_set):
        items.append(item)
        if isinstance(item, EditJudged):
            stop.set()
    assert items[-1].trace.stop is StopReason.CANCELLED
    assert len(items[-1].trace.accepted) == 1
    assert items[-1].changed


def test_the_one_who_waits_hears_of_an_error(desk: Desk) -> None:
    order = order_of(session_of(desk, A))
    broken = replace(order, said={"r1": None})
    with pytest.raises(AttributeError):
        list(desk.repair(broken, lambda: False))
    assert isinstance(list(desk.repair(order, lambda: False))[-1], Result)


def test_pictures_of_several_users_are_worked_on_one_after_the_other(desk: Desk) -> None:
    orders = [order_of(session_of(desk, box)) for box in (A, B)]
    seen: list[int] = []

    def work(i: int) -> Result:
        result = None
        for item in desk.repair(orders[i], lambda: seen.append(i) is not None):
            result = item
        return result

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, (0, 1)))
    assert [r.picture for r in results] == [o.picture for o in orders]
    changes = sum(a != b for a, b in pairwise(seen))
    assert changes == 1  # `cancelled` was asked by one run, and only then by the other


def test_wishes_override_what_would_keep_a_chosen_place_from_being_repaired() -> None:
    configured = Settings(
        preference=Preference(min_severity=3, skip=frozenset({"hand_shape"}), prefer=("a", "b"))
    )
    made = Wishes(tools=("b",), avoid=frozenset({"a"}), rounds=2, seed=9).apply(configured)
    preference = made.preference
    assert (preference.min_severity, preference.min_confidence) == (1, 0.0)
    assert (preference.skip, preference.tools, preference.prefer) == (frozenset(), ("b",), ("b",))
    assert (made.rounds, made.seed, made.time_budget_s) == (2, 9, None)


def test_fields_become_wishes() -> None:
    wishes = read_wishes(["fill"], [], 4, 30, 7, False, True)
    assert (wishes.tools, wishes.rounds, wishes.time_budget_s) == (("fill",), 4, 30.0)
    assert read_wishes([], [], 1, None, None, True, True).time_budget_s is None
    with pytest.raises(InputError, match="fill: chosen and never to be used"):
        read_wishes(["fill"], ["fill"], 1, 0, 0, True, True)


def test_fields_that_say_the_same_are_no_correction(desk: Desk) -> None:
    place = session_of(desk, A).place("r1")
    words = place.found.description
    assert read_correction(place, "object_texture", words, "", None).is_empty
    assert read_correction(place, None, words, " ", None).is_empty
    changed = read_correction(place, "limb_shape", "an elbow", "a straight arm ", None)
    assert changed == Correction(
        category="limb_shape", description="an elbow", instruction="a straight arm"
    )


def test_a_threshold_below_the_lower_one_is_taken() -> None:
    settings = RegionSettings(threshold=0.5, threshold_low=0.4)
    assert at_threshold(settings, 0.3).low < 0.3
    assert at_threshold(settings, 0.6).low == 0.4


def test_what_a_user_said_is_kept_as_training_data(desk: Desk, tmp_path) -> None:
    session = session_of(desk, A, B)
    session.place("r1").correction = Correction(category="hand_shape", description="six fingers")
    recorder = Recorder(before_rgb=session.need_picture.image_rgb)
    *events, result = desk.repair(order_of(session), lambda: False)
    repairs = [r for e in events if isinstance(e, EditJudged) and (r := Repair.of(e))]
    session.repaired = Repaired(result=result, repairs=tuple(repairs), recorder=recorder)
    session.rejected = frozenset({1})
    feedback.keep(session, tmp_path)
    (sample,) = read_feedback(tmp_path)
    first = sample.regions[0]
    assert (first.category, first.description) == ("hand_shape", "six fingers")
    assert (sample.load_rgb() == session.need_picture.image_rgb).all()
    (path,) = tmp_path.glob("*/feedback.json")
    assert '"rejected"' in path.read_text()
