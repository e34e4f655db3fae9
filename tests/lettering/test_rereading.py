"""Reading again where a picture changed gives what reading all of it gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retoucher.domain.geometry import Box
from retoucher.lettering.engine import OcrEngine
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import RgbArray, TextLine, TextReader
from retoucher.lettering.rereading import CELL_PX, changes, is_cut, reading_order
from retoucher.looking import Basis, looking_since
from retoucher.perception.text import TextPerceiver

ROWS = ("FRESH COFFEE", "open daily", "no smoking")
TOP, STEP, SIDE = 110, 270, 768


def poster(*rows: str) -> RgbArray:
    """Large rows of lettering, far apart, on a grainy ground."""
    ground = np.full((SIDE, SIDE, 3), (190, 200, 205), np.float32)
    ground += np.random.default_rng(4).normal(0, 3, ground.shape)
    image = np.clip(ground, 0, 255).astype(np.uint8)
    for i, text in enumerate(rows):
        place = (40, TOP + STEP * i)
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_DUPLEX, 1.8, (40, 40, 60), 4, cv2.LINE_AA)
    return image


@pytest.fixture(scope="module")
def fresh() -> TextReader:
    """Another reader, which only ever reads whole pictures unless it is told otherwise."""
    return TextReader()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pixels that the detector was shown, a number for each call."""
    seen: list[int] = []
    real = OcrEngine.detect

    def watched(self: OcrEngine, image_rgb: RgbArray) -> object:
        seen.append(image_rgb.shape[0] * image_rgb.shape[1])
        return real(self, image_rgb)

    monkeypatch.setattr(OcrEngine, "detect", watched)
    return seen


def texts(lines: tuple[TextLine, ...]) -> list[str]:
    return [line.text for line in lines]


def since(
    before: RgbArray, after: RgbArray, reader: TextReader
) -> tuple[bool, tuple[TextLine, ...]]:
    basis = Basis(before)
    with looking_since(basis):
        lines = reader.read(after)
    return basis.used, lines


@pytest.mark.parametrize(
    "rows",
    [
        ("FRESH COFFEE", "open daily", "no parking"),
        ("", "open daily", "no smoking"),
    ],
    ids=["reworded", "removed"],
)
def test_one_line_changed(
    rows: tuple[str, ...], reader: TextReader, fresh: TextReader, shown: list[int]
) -> None:
    before, after = poster(*ROWS), poster(*rows)
    kept = reader.read(before)
    shown.clear()
    used, lines = since(before, after, reader)
    assert used
    assert sum(shown) < 0.5 * SIDE * SIDE
    assert texts(lines) == [row for row in rows if row]
    untouched = [line for line in lines if line in kept]
    assert len(untouched) == 2
    for one, other in zip(lines, fresh.read(after), strict=True):
        assert np.abs(one.quad_xy - other.quad_xy).max() < 8
        assert one.confidence == pytest.approx(other.confidence, abs=0.05)


def test_saliency_and_claims_are_those_of_a_whole_look(
    reader: TextReader, fresh: TextReader
) -> None:
    before, after = poster(*ROWS), poster("FRESH COFFEE", "open dzqly", "no smoking")
    whole = TextPerceiver(LetteringJudge(fresh))
    partial = TextPerceiver(LetteringJudge(reader))
    partial.perceive(before, "")
    basis = Basis(before)
    with looking_since(basis):
        seen, claims = partial.perceive(after, "").values_hw, partial.claims(after, "")
    assert basis.used
    assert np.abs(seen - whole.perceive(after, "").values_hw).mean() < 0.005
    assert (claims != whole.claims(after, "")).mean() < 0.01


def test_it_depends_on_the_two_pictures_alone(reader: TextReader, fresh: TextReader) -> None:
    before, after = poster(*ROWS), poster("FRESH TEA", *ROWS[1:])
    first = since(before, after, reader)
    reader.read(after)
    fresh.read(after)
    for other in (since(before, after, reader), since(before, after, fresh)):
        assert other[0] == first[0]
        assert texts(other[1]) == texts(first[1])
    assert reader.read(after) is not first[1]


def test_nothing_changed_is_nothing_read(reader: TextReader, shown: list[int]) -> None:
    before = poster(*ROWS)
    lines = reader.read(before)
    shown.clear()
    assert since(before, before.copy(), reader) == (False, lines)
    assert shown == []


@pytest.mark.parametrize("how", ["much", "size"])
def test_what_cannot_be_read_in_part_is_read_whole(
    how: str, reader: TextReader, fresh: TextReader
) -> None:
    before = poster(*ROWS)
    if how == "much":
        after = np.ascontiguousarray(before[:, ::-1])
    else:
        after = np.ascontiguousarray(before[:-64])
    used, lines = since(before, after, reader)
    assert not used
    assert texts(lines) == texts(fresh.read(after))


def test_a_line_that_touches_what_changed_is_read_again_whole() -> None:
    changed = np.zeros((32 * CELL_PX, 32 * CELL_PX), bool)
    changed[5 * CELL_PX + 3, 4 * CELL_PX + 3] = True
    quads = [
        box_quad(Box(0, 5 * CELL_PX, 9 * CELL_PX, 6 * CELL_PX)),  # through it
        box_quad(Box(8 * CELL_PX, 7 * CELL_PX - 5, 11 * CELL_PX, 8 * CELL_PX)),  # touches that one
        box_quad(Box(0, 22 * CELL_PX, 32 * CELL_PX, 23 * CELL_PX)),  # far off
    ]
    what = changes(changed, quads)
    assert what is not None
    assert what.kept == (2,)
    (window,) = what.windows
    assert window.x0 == 0
    assert window.x1 >= 11 * CELL_PX
    assert (window.y0 % CELL_PX, window.y1 % CELL_PX) == (0, 0)
    assert changes(np.ones_like(changed), quads) is None


def test_a_line_at_the_window_s_side_is_cut_but_not_at_the_picture_s() -> None:
    window = Box(0, 64, 128, 128)
    assert is_cut(box_quad(Box(10, 80, 128, 100)), window, 320, 320)
    assert is_cut(box_quad(Box(10, 64, 100, 100)), window, 320, 320)
    assert not is_cut(box_quad(Box(0, 80, 100, 100)), window, 320, 320)
    assert not is_cut(box_quad(Box(10, 80, 128, 100)), window, 320, 128)


def test_order_is_that_of_reading() -> None:
    boxes = [Box(200, 4, 300, 20), Box(0, 60, 90, 80), Box(10, 0, 90, 20)]
    assert reading_order([box_quad(box) for box in boxes]) == [2, 0, 1]
    assert reading_order([]) == []


def box_quad(box: Box) -> np.ndarray:
    x0, y0, x1, y1 = box.as_xyxy()
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
