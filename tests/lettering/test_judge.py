import numpy as np
import pytest

from retoucher.lettering.judge import (
    DEFECT_AT,
    GARBLED,
    WRONG,
    JudgedUnit,
    LetteringJudge,
    _may_be_a_bad,
    shared_judge,
)
from retoucher.lettering.reading import TextReader, shared_reader
from tests.lettering.pictures import sign


@pytest.fixture(scope="module")
def judge(reader: TextReader) -> LetteringJudge:
    return LetteringJudge(reader)


def defects(judge: LetteringJudge, image: np.ndarray, prompt: str = "") -> list[JudgedUnit]:
    return [u for u in judge.judge(image, prompt).units if u.category != "no_defect"]


@pytest.mark.parametrize(
    "lines",
    [
        ("POLICE", "STATION"),
        ("Fresh Coffee", "$3.50"),
        ("Boulangerie", "Straße 24"),
        ("Kowalski & Sons", "since 1987"),
        ("Zelko 4821", "Quillon"),
        ("Midnights", "Navion", "Rhoto"),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 4.0])
def test_right_lettering_is_fine(
    judge: LetteringJudge, lines: tuple[str, ...], angle: float
) -> None:
    for prompt in ("", "a photo of a street", 'a sign that says "Something Else"'):
        assert defects(judge, sign(*lines, angle=angle), prompt) == []


def test_an_asked_word_that_is_no_dictionary_word_is_fine(judge: LetteringJudge) -> None:
    image = sign("RESTURANT", "Brekfast")
    prompt = 'a sign that says "Resturant" and "Brekfast"'
    assert defects(judge, image, prompt) == []
    assert len(defects(judge, image)) == 2


def test_only_the_wrong_word_of_a_line_is_the_unit(judge: LetteringJudge) -> None:
    image = sign("FRESH COFEE", "open daily")
    (unit,) = defects(judge, image, 'a sign that says "Fresh Coffee"')
    assert (unit.read, unit.intended, unit.source) == ("COFEE", "COFFEE", "prompt")
    assert unit.category == WRONG
    assert unit.defect >= DEFECT_AT
    line = judge.reader.read(image)[0]
    assert unit.quad_xy[:, 0].min() > line.quad_xy[:, 0].mean() - 60
    assert unit.quad_xy[:, 0].max() <= line.quad_xy[:, 0].max() + 1


def test_without_a_prompt_the_dictionary_decides(judge: LetteringJudge) -> None:
    (unit,) = defects(judge, sign("POLLICE"))
    assert (unit.intended, unit.source, unit.category) == ("POLICE", "dictionary", WRONG)


def test_a_pseudo_word_has_no_intended_text(judge: LetteringJudge) -> None:
    assert all(u.intended is None for u in judge.judge(sign("Wiatses", "Vorndel"), "").units)


def test_a_phrase_over_two_lines_is_compared_word_by_word(judge: LetteringJudge) -> None:
    image = sign("GRAND", "OPENNING", "TODAY")
    (unit,) = defects(judge, image, 'a banner with the words "Grand Opening Today"')
    assert (unit.read, unit.intended) == ("OPENNING", "OPENING")


def test_a_real_word_is_not_bent_to_another_asked_word(judge: LetteringJudge) -> None:
    image = sign("COFFEE", "OFFICE")
    assert defects(judge, image, 'a sign that says "Coffee"') == []


def test_tiny_lettering_is_not_judged(judge: LetteringJudge) -> None:
    units = judge.judge(sign("POLLICE RESTURANT", size_px=8), "").units
    assert all(u.category == "no_defect" for u in units)


def scrambled(seed: int) -> np.ndarray:
    """Letters whose halves come from different letters: like writing, but no glyph is one."""
    image = sign("QUIET GARDEN", "PAPER LANTERN")
    other = sign("MOUNTAIN WK", "SBRVEX HUGJ")
    rng = np.random.default_rng(seed)
    mixed = image.copy()
    for x in range(60, 580, 12):
        if rng.random() < 0.5:
            mixed[:, x : x + 12] = other[:, x : x + 12]
        if rng.random() < 0.5:
            mixed[:, x : x + 12] = mixed[:, x : x + 12][:, ::-1]
        mixed[40:320, x : x + 12] = np.roll(mixed[40:320, x : x + 12], rng.integers(-9, 10), 0)
    return mixed


def test_garbled_lettering_is_found(judge: LetteringJudge) -> None:
    found = [any(u.category == GARBLED for u in defects(judge, scrambled(s))) for s in range(4)]
    assert sum(found) >= 3


def test_garbled_lettering_takes_the_one_asked_phrase_that_is_missing(
    judge: LetteringJudge,
) -> None:
    image = scrambled(0)
    image[150:] = image[60, 100]  # one line only
    units = judge.judge(image, 'a sign that says "Quiet Garden"').units
    garbled = [u for u in units if u.category == GARBLED]
    assert len(garbled) == 1
    assert (garbled[0].intended, garbled[0].source) == ("Quiet Garden", "prompt")


def test_same_input_same_judgement(judge: LetteringJudge) -> None:
    image, prompt = sign("FRESH COFEE"), 'a sign that says "Fresh Coffee"'
    first, again = judge.judge(image, prompt), LetteringJudge().judge(image, prompt)
    assert [(u.read, u.defect, u.intended) for u in first.units] == [
        (u.read, u.defect, u.intended) for u in again.units
    ]


def test_weights_name_all_three_files(judge: LetteringJudge) -> None:
    assert len(judge.weights) == 3


def test_unclear_lettering_is_not_given_words_that_stand_elsewhere(judge: LetteringJudge) -> None:
    image = scrambled(0)
    image[150:] = sign("", "Quiet Garden")[150:]
    image[140:150] = image[60, 100]
    units = judge.judge(image, 'a sign that says "Quiet Garden"').units
    assert all(u.intended is None for u in units)


@pytest.mark.parametrize(
    ("confidence", "read", "given"),
    [(0.88, "Damae", True), (0.97, "Damae", False), (0.88, "Garden", False), (0.88, "Da", False)],
)
def test_a_half_read_pseudo_word_is_taken_for_the_missing_phrase(
    confidence: float, read: str, given: bool
) -> None:
    unit = JudgedUnit(
        quad_xy=np.array([[0.0, 0], [200, 0], [200, 60], [0, 60]]),
        read=read,
        confidence=confidence,
        defect=0.1,
        category="no_defect",
    )
    assert _may_be_a_bad("Orange", unit) is given


def test_a_picture_is_judged_once_for_each_prompt(
    judge: LetteringJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = sign("FRESH COFEE")
    first = judge.judge(image, "a sign")
    with monkeypatch.context() as patched:
        patched.setattr(judge.reader, "support", lambda *_: pytest.fail("judged again"))
        assert judge.judge(image.copy(), "a sign") is first
    other = judge.judge(image, 'a sign that says "Fresh Coffee"')
    assert other is not first
    assert [u.source for u in other.units if u.intended] == ["prompt"]


def test_the_agents_share_one_judge() -> None:
    assert shared_judge() is shared_judge()
    assert shared_judge().reader is shared_reader()
