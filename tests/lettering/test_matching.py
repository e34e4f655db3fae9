from retoucher.lettering.asked import AskedPhrase
from retoucher.lettering.matching import match_phrases, shown_exactly


def phrases(*texts: str) -> tuple[AskedPhrase, ...]:
    return tuple(AskedPhrase(text=t, explicit=True) for t in texts)


def test_a_phrase_spread_over_lines_is_shown() -> None:
    asked = phrases("MAKE AMERICA GREAT AGAIN")
    found = match_phrases(["MAKE", "AMERICA", "GREATAGAIN"], asked)
    assert [(m.start, m.end, m.edits) for m in found.values()] == [(0, 1, 0), (1, 2, 0), (2, 4, 0)]
    assert shown_exactly(list(found.values()), asked) == {0}


def test_a_distorted_line_is_matched_with_its_edits() -> None:
    asked = phrases("Fresh Coffee")
    found = match_phrases(["FRESH COFEE", "unrelated"], asked)
    assert list(found) == [0]
    assert (found[0].start, found[0].end, found[0].edits) == (0, 2, 1)
    assert shown_exactly(list(found.values()), asked) == set()


def test_look_alikes_count_as_right() -> None:
    asked = phrases("OPEN")
    assert match_phrases(["0PEN"], asked)[0].edits == 0


def test_short_or_far_text_is_not_matched() -> None:
    assert match_phrases(["ab", "xyzzy", ""], phrases("OPEN", "to")) == {}


def test_many_lines_and_long_phrases_stay_cheap() -> None:
    long = " ".join(f"word{i}" for i in range(60))
    assert len(match_phrases([f"word{i}" for i in range(120)], phrases(long))) >= 60
