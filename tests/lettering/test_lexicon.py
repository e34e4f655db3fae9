import pytest

from retoucher.lettering.lexicon import is_word, nearest, plausibility, split_words


@pytest.mark.parametrize(
    "token",
    [
        *("POLICE", "Lucky's", "buses", "McDonald's", "Heineken", "Kowalski", "Straße"),
        *("PANADERIA", "boulangerie", "O'Brien", "24/7", "$3.50", "10:30", "B2B", "№", "東京"),
        *("STOPSIGN", "NYC", "Midnights"),
    ],
)
def test_words_names_numbers_and_other_languages_are_fine(token: str) -> None:
    assert is_word(token)
    assert nearest(token) is None


@pytest.mark.parametrize(
    ("token", "word"),
    [
        ("POLLICE", "police"),
        ("POLLICCE", "police"),
        ("Resturant", "restaurant"),
        ("recieve", "receive"),
        ("sotp", "stop"),
        ("teh", None),
        ("HAPY", "happy"),
        ("Birtday,", "birthday"),
    ],
)
def test_misspelled_words_have_the_one_correction(token: str, word: str | None) -> None:
    assert not is_word(token)
    found = nearest(token)
    assert (found.word if found else None) == word


@pytest.mark.parametrize("token", ["Wiatses", "Pompidon", "qxzvk", "AUITIA", "Googl", "WELCOM"])
def test_no_guess_where_it_is_not_clear(token: str) -> None:
    """Pseudo-words have no correction; a word cut off at its end may be hidden, not misspelled."""
    assert nearest(token) is None


def test_a_change_the_reader_makes_by_itself_is_marked() -> None:
    found = nearest("breaktast")
    assert found is not None
    assert found.word == "breakfast"
    assert found.reading_noise
    other = nearest("brekfast")
    assert other is not None
    assert not other.reading_noise


def test_run_together_words_are_split() -> None:
    assert split_words("stopsign") == ("stop", "sign")
    assert split_words("xqzzkwv") == ()


def test_words_are_more_plausible_than_letters() -> None:
    assert plausibility("the police station") > plausibility("xqz kwvv bgtrf") + 1
    assert plausibility("") == plausibility("123") == 0.0
