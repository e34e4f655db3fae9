"""The classifier's arithmetic, its file, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import PluginError
from retoucher.reasoning.embedded_hands import HAND_FEATURES
from retoucher.reasoning.embedded_model import (
    Diagnostician,
    OperatingPoint,
    read_diagnostician,
    shipped_diagnostician,
    softmax,
    standardised,
    write_diagnostician,
)
from retoucher.vision.hands import HAND_GRAPH, HandNetworks
from retoucher.vision.runtime import PICTURE_GRAPH, SaliencyNetwork

D = 3
NAMES = list(taxonomy())


def model() -> Diagnostician:
    """Two features with a meaning: the first says that something is wrong, the second, which."""
    category = np.zeros((len(NAMES), D + 1), np.float32)
    category[NAMES.index("hand_shape"), 1] = 3.0
    category[NAMES.index("face_feature"), 1] = -3.0
    severity = np.zeros((3, D + 1), np.float32)
    severity[2, 2] = 1.0
    return Diagnostician(
        mean_d=np.array([1.0, 0.0, 0.0], np.float32),
        scale_d=np.array([2.0, 1.0, 1.0], np.float32),
        defect_d1=np.array([2.0, 0.0, 0.0, -1.0], np.float32),
        category_kd1=category,
        severity_3d1=severity,
        hand_h=np.array([0.5, 0.0, -1.0, 0.0], np.float32),
        temperatures=(2.0, 1.0, 1.0),
        point=OperatingPoint(defect=0.6, sound=0.2, category=0.5),
        network="0" * 64,
        hand_network="1" * 64,
        digest="",
    )


def test_an_opinion_is_what_the_weights_say() -> None:
    opinion = model().opinion(np.array([3.0, 1.0, 1.0], np.float32))
    assert opinion.defect == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert max(opinion.categories, key=lambda n: opinion.categories[n]) == "hand_shape"
    assert sum(opinion.categories.values()) == pytest.approx(1.0)
    assert opinion.severity == 3
    other = model().opinion(np.array([3.0, -1.0, -1.0], np.float32))
    assert max(other.categories, key=lambda n: other.categories[n]) == "face_feature"
    assert other.severity == 1


def test_a_wild_measurement_says_no_more_than_the_outermost_one() -> None:
    far, farther = (model().opinion(np.array([v, 0, 0], np.float32)) for v in (9.0, 1e9))
    assert far.defect == farther.defect


def test_a_higher_temperature_is_less_sure() -> None:
    sharp, soft = model(), replace(model(), temperatures=(4.0, 3.0, 1.0))
    x = np.array([3.0, 1.0, 0.0], np.float32)
    assert 0.5 < soft.opinion(x).defect < sharp.opinion(x).defect
    assert max(soft.opinion(x).categories.values()) < max(sharp.opinion(x).categories.values())


def test_a_measured_hand_moves_what_looks_like_one() -> None:
    like, unlike = (model().opinion(np.array([3.0, v, 0.0], np.float32)) for v in (1.0, -1.0))
    assert like.hand > 0.5
    assert unlike.hand < 0.2
    doubted = np.array([1.0, 0.0, -2.0, 0.0], np.float32)
    after = model().after_measuring(like, doubted)
    assert np.log(after.defect / (1 - after.defect)) == pytest.approx(0.5 + 2.5 * like.hand)
    assert after.categories == like.categories
    assert unlike.defect < model().after_measuring(unlike, doubted).defect < after.defect
    assert model().after_measuring(like, np.zeros(4, np.float32)).defect == pytest.approx(
        like.defect
    )
    certain = replace(like, defect=1.0)
    assert 0.99 < model().after_measuring(certain, -doubted).defect <= 1.0


def test_features_of_another_network_are_refused() -> None:
    with pytest.raises(PluginError, match="reads 3 features, got 4; train it again"):
        model().opinion(np.zeros(4, np.float32))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "m.npz"
    write_diagnostician(model(), file)
    again = read_diagnostician(file)
    assert [f.name for f in file.parent.iterdir()] == ["m.npz"]
    x = np.array([0.3, -0.7, 2.0], np.float32)
    assert again.opinion(x) == model().opinion(x)
    assert (again.network, again.hand_network) == ("0" * 64, "1" * 64)
    assert again.hand_h.tolist() == model().hand_h.tolist()
    assert again.digest.startswith("sha256:")
    assert again.point.defect == pytest.approx(0.6)


def test_a_file_for_another_taxonomy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_diagnostician(model(), tmp_path / "m.npz")
    with monkeypatch.context() as patched:
        patched.setattr("retoucher.reasoning.embedded_model.LAYOUT", 99)
        with pytest.raises(PluginError, match="train it again"):
            read_diagnostician(tmp_path / "m.npz")
    with pytest.raises(PluginError, match="missing"):
        read_diagnostician(tmp_path / "none.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    write_diagnostician(model(), tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


@pytest.mark.parametrize(("defect", "sound", "category"), [(0.2, 0.3, 0), (1.1, 0, 0), (1, 0, 2)])
def test_an_impossible_operating_point_is_refused(
    defect: float, sound: float, category: float
) -> None:
    with pytest.raises(ValueError, match="sound <= defect"):
        OperatingPoint(defect=defect, sound=sound, category=category)


def test_the_shipped_model_belongs_to_the_shipped_network() -> None:
    shipped = shipped_diagnostician()
    assert shipped.network == SaliencyNetwork().weights[PICTURE_GRAPH]
    assert shipped.hand_network == HandNetworks().weights[HAND_GRAPH]
    assert shipped.hand_h.shape == (HAND_FEATURES,)
    known, unknown = (np.array([1.0, 2.0, p, d], np.float32) for p, d in ((6, -4.5), (-4, -2.5)))
    assert shipped.hand_h @ known < 0 < shipped.hand_h @ unknown
    assert shipped.category_kd1.shape == (12, shipped.mean_d.size + 1)
    assert 0 < shipped.point.sound <= shipped.point.defect < 1


def test_softmax_and_standardised() -> None:
    assert softmax(np.array([1e4, 1e4])).tolist() == [0.5, 0.5]
    z = standardised(np.ones((2, 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
    assert z.tolist() == [[1.0, 1.0], [1.0, 1.0]]
