import numpy as np
import pytest

from retoucher.agents import Perceiver
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import TextReader
from retoucher.perception.text import TextPerceiver
from tests.lettering.pictures import sign


@pytest.fixture(scope="module")
def perceiver() -> TextPerceiver:
    return TextPerceiver(LetteringJudge(TextReader()))


def test_it_is_a_perceiver_that_says_what_it_is(perceiver: TextPerceiver) -> None:
    assert isinstance(perceiver, Perceiver)
    assert (perceiver.info.role, perceiver.info.name) == ("perceiver", "text")
    assert len(perceiver.info.weights) == 3


def test_a_clean_picture_has_an_empty_map(perceiver: TextPerceiver) -> None:
    found = perceiver.perceive(sign("FRESH COFFEE", "open daily"), 'sign that says "Fresh Coffee"')
    assert found.values_hw.shape == (384, 640)
    assert found.peak < 0.2


def test_the_wrong_word_lights_up_and_the_rest_does_not(perceiver: TextPerceiver) -> None:
    image = sign("FRESH COFEE", "open daily")
    values = perceiver.perceive(image, 'a sign that says "Fresh Coffee"').values_hw
    hot = values >= 0.4
    ys, xs = np.nonzero(hot)
    ink = (image.max(2) < 90) & hot
    assert ink.sum() > 300
    assert xs.min() > 200
    assert ys.max() < 150
    # The soft edge is a narrow rim around it.
    rim = (values > 0) & ~hot
    assert 0 < rim.sum() < 0.5 * hot.sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 9)])
def test_small_pictures_give_maps_of_their_size(
    perceiver: TextPerceiver, shape: tuple[int, int]
) -> None:
    found = perceiver.perceive(np.full((*shape, 3), 90, np.uint8), "")
    assert found.values_hw.shape == shape
    assert found.peak == 0.0


def test_same_input_same_bytes(perceiver: TextPerceiver) -> None:
    image = sign("POLLICE")
    first = perceiver.perceive(image, "").values_hw
    assert first.max() >= 0.4
    assert first.tobytes() == TextPerceiver().perceive(image, "").values_hw.tobytes()
