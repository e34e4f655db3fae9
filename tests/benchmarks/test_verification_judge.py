"""The benchmark's own judge: it must call harm harm, and know the right repair."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from retoucher.agents import EditRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box

adversaries = pytest.importorskip("adversaries")
verification = pytest.importorskip("verification")

H, W = 120, 150


def twin() -> np.ndarray:
    rng = np.random.default_rng(4)
    rgb = np.full((H, W, 3), (140, 120, 100), np.uint8)
    for _ in range(40):
        centre = tuple(int(v) for v in rng.integers(0, (W, H)))
        cv2.circle(rgb, centre, int(rng.integers(3, 18)), rng.integers(60, 200, 3).tolist(), -1)
    return rgb


def request(crop: np.ndarray) -> EditRequest:
    mask = np.zeros((H, W), bool)
    mask[30:90, 40:110] = True
    diagnosis = Diagnosis(
        region_id="r1", category="object_structure", severity=2, description="-", confidence=0.9
    )
    return EditRequest(
        crop_rgb=crop, mask_hw=mask, crop_box=Box.of_picture(H, W), diagnosis=diagnosis
    )


HARM = sorted(set(adversaries.HARMFUL) - {"identity", "wrong_size"})


@pytest.mark.parametrize("name", HARM)
def test_harm_done_to_a_clean_picture_is_seen(name: str) -> None:
    clean = twin()
    asked = request(clean)
    after = adversaries.HARMFUL[name](asked)
    assert verification.distance(clean, clean, asked.mask_hw) == pytest.approx(0.0, abs=1e-6)
    assert verification.distance(after, clean, asked.mask_hw) > 5 * verification.WORSE


@pytest.mark.parametrize("name", sorted(adversaries.GOOD))
def test_the_right_repair_is_nearer_than_the_defect(name: str) -> None:
    clean = twin()
    defect = clean.copy()
    defect[35:85, 45:105] = clean[35:85, 45:105][::-1]
    asked = request(defect)
    repaired = adversaries.GOOD[name](clean)(asked)
    before = verification.distance(defect, clean, asked.mask_hw)
    assert verification.distance(repaired, clean, asked.mask_hw) < 0.6 * before
