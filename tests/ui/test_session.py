from __future__ import annotations

import json

import numpy as np
import pytest

from retoucher.cli.own_regions import load_regions
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.imaging.files import read_picture
from retoucher.imaging.regions import RegionSettings, find_regions
from retoucher.ui import exports
from retoucher.ui.corrections import Correction
from retoucher.ui.session import GRACE_S, MAX_SESSIONS, Session, Sessions
from tests.ui.magenta import PROMPT, retoucher, wall

A, B = Box(20, 20, 60, 60), Box(120, 40, 160, 90)


@pytest.fixture
def session() -> Session:
    session = Session()
    session.open(read_picture(wall(A, B)), "wall.png")
    session.found(retoucher().find(session.need_picture), Preference())
    return session


def test_the_prompt_is_the_files_own_until_it_is_changed(session: Session) -> None:
    assert session.prompt == PROMPT
    assert session.given_prompt is None
    session.prompt = "a brick wall"
    assert session.given_prompt == "a brick wall"
    session.prompt = ""
    assert session.given_prompt == ""


def test_what_was_found_is_chosen(session: Session) -> None:
    assert [p.region.id for p in session.chosen] == ["r1", "r2"]


def test_what_the_user_said_survives_another_look(session: Session) -> None:
    session.place("r1").chosen = False
    session.place("r2").correction = Correction(category="face_feature")
    session.found(retoucher().find(session.need_picture), Preference())
    assert not session.place("r1").chosen
    assert session.place("r2").diagnosis.category == "face_feature"


def test_a_mask_of_the_users_stands_instead_of_a_found_one(session: Session) -> None:
    region = Region.from_box(Box(18, 18, 64, 64), id=next(session.drawn_ids()))
    said = retoucher().find(session.need_picture, regions=[region]).diagnoses
    old = next(p.region.id for p in session.places if p.region.overlap(region) > 0.5)
    session.draw([region], said, instead=old)
    regions = find_regions(session.saliency, RegionSettings(threshold=0.3))
    fresh = retoucher().find(session.need_picture, regions=regions).diagnoses
    session.at_threshold(regions, fresh, Preference())
    assert len(regions) == 2
    found, drawn = session.places
    assert found.region.box.contains(B)
    assert drawn.region is region
    assert drawn.chosen


def test_a_new_picture_forgets_everything_and_stops_the_run(session: Session) -> None:
    stop = session.begin_run()
    with pytest.raises(InputError, match="a run is going on"):
        session.begin_run()
    session.open(read_picture(wall(A, prompt="other")), "other.png")
    assert stop.is_set()
    assert session.places == []
    assert session.prompt == "other"


def test_a_session_ends_when_it_is_idle_or_left_but_not_while_it_runs() -> None:
    now = [0.0]
    sessions = Sessions(600.0, lambda: now[0])
    idle, busy, left = sessions.begin(), sessions.begin(), sessions.begin()
    assert len({idle, busy, left}) == 3
    sessions.get(busy).begin_run()
    sessions.leave(left)
    now[0] = GRACE_S + 1
    sessions.sweep()
    with pytest.raises(InputError, match="reload"):
        sessions.get(left)
    sessions.get(idle)
    now[0] += 601
    sessions.sweep()
    with pytest.raises(InputError, match="reload"):
        sessions.get(idle)
    stop = sessions.get(busy).stop
    sessions.end_all()
    assert stop.is_set()


def test_a_left_page_stops_its_run() -> None:
    sessions = Sessions(600.0)
    token = sessions.begin()
    stop = sessions.get(token).begin_run()
    sessions.leave(token)
    sessions.leave("unknown")
    assert stop.is_set()


def test_there_are_never_more_than_so_many() -> None:
    now = [0.0]
    sessions = Sessions(1e6, lambda: now[0])
    first = sessions.begin()
    for _ in range(MAX_SESSIONS):
        now[0] += 1
        sessions.begin()
    with pytest.raises(InputError):
        sessions.get(first)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("shop.png", "shop.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\a.jpg", "a.jpg"),
        ("...", "picture"),
        ("a\n<b>.png", "a__b_.png"),
        ("x" * 300 + ".png", "x" * 76 + ".png"),
    ],
)
def test_names_from_clients_are_words_only(name: str, safe: str) -> None:
    assert exports.safe_name(name) == safe


def test_the_mask_downloads_say_where_the_chosen_places_are(session: Session, tmp_path) -> None:
    session.place("r2").chosen = False
    session.place("r1").correction = Correction(category="hand_shape", description="six fingers")
    chosen = session.place("r1").region.full_mask(240, 320)
    drawn = read_picture(exports.mask(session).data)
    assert np.array_equal(drawn.image_rgb[..., 0] == 255, chosen)
    file = exports.coco(session)
    path = tmp_path / file.name
    path.write_bytes(file.data)
    (region,) = load_regions(path).for_picture("wall.png", 240, 320)
    assert np.array_equal(region.full_mask(240, 320), chosen)
    content = json.loads(file.data)
    names = {c["id"]: c["name"] for c in content["categories"]}
    (row,) = content["annotations"]
    assert names[row["category_id"]] == "hand_shape"
    assert row["attributes"]["description"] == "six fingers"
    session.place("r1").chosen = False
    with pytest.raises(InputError, match="no place is chosen"):
        exports.mask(session)
    with pytest.raises(InputError, match="nothing was repaired yet"):
        exports.picture(session)
