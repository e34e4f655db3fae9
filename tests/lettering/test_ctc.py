import numpy as np
import pytest

from retoucher.lettering.ctc import LatinAlphabet, alignment_log_prob, decode

ALPHABET = ("blank", "a", "b", "東", " ", "東")
LATIN = LatinAlphabet(ALPHABET)


def steps(*best: int) -> np.ndarray:
    probs = np.full((len(best), len(ALPHABET)), 0.02, np.float32)
    probs[np.arange(len(best)), best] = 0.9
    return probs


def test_repeats_and_blanks_are_removed_and_words_split() -> None:
    found = decode(steps(1, 1, 0, 1, 2, 4, 2, 0), ALPHABET, LATIN)
    assert found.text == "aab b"
    assert [w.text for w in found.words] == ["aab", "b"]
    assert found.confidence == pytest.approx(0.9)
    first, second = found.words
    assert first.start == 0.0
    assert first.end <= second.start
    assert second.end == 1.0


def test_nothing_read_is_empty() -> None:
    found = decode(steps(0, 0, 0), ALPHABET, LATIN)
    assert (found.text, found.confidence, found.words) == ("", 0.0, ())


def test_the_decoded_string_is_the_best_explained_one() -> None:
    found = decode(steps(1, 0, 2, 2), ALPHABET, LATIN)
    own = alignment_log_prob(found.latin_tc, "ab", LATIN.index)
    assert own == pytest.approx(found.log_prob, abs=1e-4)
    for other in ("a", "b", "ba", "abb", "aab"):
        assert alignment_log_prob(found.latin_tc, other, LATIN.index) < own


def test_a_doubled_letter_needs_a_step_between() -> None:
    found = decode(steps(1, 1), ALPHABET, LATIN)
    assert alignment_log_prob(found.latin_tc, "aa", LATIN.index) == -np.inf
