"""Perceivers speaking together: nothing found is lost, and what was measured is not overruled."""

from __future__ import annotations

import numpy as np
import pytest

from retoucher.agents import BoolArray, FloatArray, Perceiver, RgbArray
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.imaging.regions import RegionSettings, find_regions
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import TextReader
from retoucher.perception.fusion import ClaimingPerceiver, FusedPerceiver
from retoucher.perception.text import TextPerceiver
from tests.lettering.pictures import sign

PROMPT = 'a sign that says "Fresh Coffee"'
SETTINGS = RegionSettings()


class Painted:
    """A perceiver that sees what it is given, without looking."""

    def __init__(self, values_hw: FloatArray) -> None:
        self.values_hw = values_hw

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="painted", version="1")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        return SaliencyMap(self.values_hw)


class Claiming(Painted):
    def __init__(self, values_hw: FloatArray, claimed_hw: BoolArray) -> None:
        super().__init__(values_hw)
        self.claimed_hw = claimed_hw

    def claims(self, image_rgb: RgbArray, prompt: str) -> BoolArray:
        return self.claimed_hw


@pytest.fixture(scope="module")
def text() -> TextPerceiver:
    return TextPerceiver(LetteringJudge(TextReader()))


def values(*rows: list[float]) -> FloatArray:
    return np.array(rows, np.float32)


def fused(*members: Perceiver) -> FloatArray:
    return FusedPerceiver(members).perceive(np.zeros((1, 3, 3), np.uint8), "").values_hw


def test_without_claims_the_greater_counts() -> None:
    a, b = Painted(values([0.1, 0.9, 0.3])), Painted(values([0.2, 0.4, 0.3]))
    assert np.array_equal(fused(a, b), values([0.2, 0.9, 0.3]))
    assert np.array_equal(fused(b), b.values_hw)


def test_in_claimed_places_only_who_claims_them_is_heard() -> None:
    everywhere = Painted(values([0.9, 0.9, 0.9]))
    one = Claiming(values([0.1, 0.5, 0.2]), np.array([[True, False, False]]))
    two = Claiming(values([0.3, 0.2, 0.4]), np.array([[True, False, True]]))
    assert np.allclose(fused(everywhere, one, two), values([0.3, 0.9, 0.4]))
    assert np.allclose(fused(two, everywhere, one), values([0.3, 0.9, 0.4]))


def test_no_member_no_fusion() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FusedPerceiver([])


def test_a_blob_over_a_sign_does_not_change_the_letterings_regions(text: TextPerceiver) -> None:
    image = sign("FRESH COFEE", "open daily")
    alone = find_regions(text.perceive(image, PROMPT), SETTINGS)
    blob = Painted(np.full(image.shape[:2], 0.9, np.float32))
    together = find_regions(FusedPerceiver([text, blob]).perceive(image, PROMPT), SETTINGS)
    assert isinstance(text, ClaimingPerceiver)
    assert len(alone) == 1
    same = [r for r in together if r.box == alone[0].box]
    assert len(same) == 1
    assert np.array_equal(same[0].mask_hw, alone[0].mask_hw)
    assert len(together) > 1  # the rest of the blob is still seen


def test_the_claim_is_the_same_whether_the_lettering_is_right_or_wrong(
    text: TextPerceiver,
) -> None:
    right, wrong = (
        text.claims(sign(words, "open daily"), PROMPT) for words in ("FRESH COFFEE", "FRESH COFEE")
    )
    assert right.any()
    assert not right.all()
    assert (right & wrong).sum() > 0.85 * (right | wrong).sum()


def test_a_picture_without_lettering_is_claimed_nowhere(text: TextPerceiver) -> None:
    assert not text.claims(np.full((120, 90, 3), 128, np.uint8), "").any()


def test_the_fused_perceiver_names_its_members_and_their_weights(text: TextPerceiver) -> None:
    info = FusedPerceiver([text, Painted(values([0.0]))]).info
    assert info.name == "max(text, painted)"
    assert dict(info.weights) == dict(text.info.weights)
    assert set(info.settings) == {"text", "painted"}
