"""The shipped network at run time: views are computed once, and changed files are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from retoucher.errors import InputError, PluginError
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.vision.runtime import (
    PICTURE_GRAPH,
    RUN,
    TOKEN_STRIDE,
    WEIGHTS,
    SaliencyNetwork,
    shared_network,
)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> SaliencyNetwork:
    return SaliencyNetwork(threads=1)


def test_a_view_has_maps_of_the_padded_picture(network: SaliencyNetwork) -> None:
    view = network.look(picture(50, 130), "", 128)
    assert view.shown_hw == (49, 128)
    rows, columns = 64 // network.stride, 128 // network.stride
    assert view.logits_hw.shape == (rows, columns)
    assert view.features_chw.shape[1:] == (rows, columns)
    assert view.tokens_chw.shape[1:] == (64 // TOKEN_STRIDE, 128 // TOKEN_STRIDE)
    assert all(m.dtype == np.float32 for m in (view.logits_hw, view.features_chw, view.tokens_chw))


def test_the_same_view_is_computed_once(network: SaliencyNetwork) -> None:
    first = network.look(picture(64, 64), "a dog", 64)
    assert network.look(picture(64, 64).copy(), "a dog", 64) is first
    others = [
        network.look(picture(64, 64), "a dog", 96),
        network.look(picture(64, 64, 1), "a dog", 64),
        network.look(picture(64, 64), "a cat and a dog on a red boat", 64),
    ]
    for other in others:
        assert other.logits_hw.shape != first.logits_hw.shape or not np.array_equal(
            other.logits_hw, first.logits_hw
        )


def test_pictures_of_the_same_pixels_and_another_shape_are_told_apart(
    network: SaliencyNetwork,
) -> None:
    flat = picture(32, 64)
    assert network.look(flat, "", 64).shown_hw == (32, 64)
    assert network.look(flat.reshape(64, 32, 3), "", 64).shown_hw == (64, 32)


def test_old_views_are_forgotten(network: SaliencyNetwork) -> None:
    first = network.look(picture(32, 32, 99), "", 32)
    for seed in range(8):
        network.look(picture(32, 32, seed), "", 32)
    again = network.look(picture(32, 32, 99), "", 32)
    assert again is not first
    assert np.array_equal(again.logits_hw, first.logits_hw)


def test_what_is_no_picture_is_refused(network: SaliencyNetwork) -> None:
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(InputError, match="uint8"):
            network.look(wrong, "", 64)


def test_weights_without_features_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (RUN, PICTURE_GRAPH, "prompt.onnx"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    monkeypatch.setattr("retoucher.vision.runtime.OUTPUTS", ("logits", "tomorrows_features"))
    with pytest.raises(PluginError, match="no output tomorrows_features; export the weights anew"):
        SaliencyNetwork(tmp_path).look(picture(32, 32), "", 32)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    shutil.copy(WEIGHTS / PICTURE_GRAPH, tmp_path / PICTURE_GRAPH)
    described = json.loads((WEIGHTS / RUN).read_text("utf-8"))
    described["tokenizer"] = None
    described["sha256"][PICTURE_GRAPH] = "0" * 64
    (tmp_path / RUN).write_text(json.dumps(described), "utf-8")
    with pytest.raises(PluginError, match="not the file that run"):
        SaliencyNetwork(tmp_path).look(picture(32, 32), "", 32)
    with pytest.raises(PluginError, match="holds no weights"):
        SaliencyNetwork(tmp_path / "nowhere")


def test_perceiver_and_reasoner_share_the_shipped_network() -> None:
    assert shared_network() is shared_network()
    perceiver = SaliencyPerceiver()
    assert perceiver._network is shared_network()  # pyright: ignore[reportPrivateUsage]
    assert dict(perceiver.info.weights) == dict(shared_network().weights)
