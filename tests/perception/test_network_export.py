"""What ships is what was trained: ONNX against torch, digests, and the run-time perceiver."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from retoucher.agents import Perceiver  # noqa: E402
from retoucher.data.sample import Sample  # noqa: E402
from retoucher.errors import InputError, PluginError  # noqa: E402
from retoucher.perception.compact import CompactConfig, build_compact  # noqa: E402
from retoucher.perception.export import export_compact, load_compact  # noqa: E402
from retoucher.perception.network import NetworkConfig  # noqa: E402
from retoucher.perception.saliency import SaliencyPerceiver, ViewSettings, tile_boxes  # noqa: E402
from retoucher.train.perception import predict  # noqa: E402
from retoucher.vision.tokenizer import HashTokenizer  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)

NETWORK = NetworkConfig(token_width=16, heads=2, decoder_width=8, fusion_layers=1)
CONFIG = CompactConfig(trunk="tiny", network=NETWORK, tokenizer=HashTokenizer(buckets=64))
RUN = {"long_side_px": 128}


@pytest.fixture(scope="module", params=[True, False], ids=["text", "no text"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    config = replace(CONFIG, network=replace(NETWORK, text=request.param))
    net = build_compact(config)
    torch.nn.init.normal_(net.head[-1].weight, std=1.0)
    out = tmp_path_factory.mktemp("weights")
    export_compact(net, config, out, RUN)
    return out


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (90, 201), (301, 77), (5, 400)])
def test_run_time_equals_torch(folder: Path, height: int, width: int) -> None:
    image = picture(height, width)
    net, config = load_compact(folder)
    sample = Sample(id="x", picture=image, width=width, height=height, prompt="a cat on a mat")
    expected = predict(net, sample, config.tokenizer, 128)
    got = SaliencyPerceiver(folder).perceive(image, "a cat on a mat").values_hw
    assert got.shape == (height, width)
    assert float(got.std()) > 1e-3
    assert float(np.abs(got - expected).max()) < 1e-4


def test_it_is_a_perceiver_and_names_its_weights(folder: Path) -> None:
    perceiver = SaliencyPerceiver(folder)
    assert isinstance(perceiver, Perceiver)
    described = json.loads((folder / "run.json").read_text("utf-8"))
    assert perceiver.info.weights["saliency.onnx"] == described["sha256"]["saliency.onnx"]
    assert ("prompt.onnx" in perceiver.info.weights) == (described["tokenizer"] is not None)
    assert perceiver.info.settings["long_side_px"] == 128


def test_the_same_picture_gives_the_same_map_whatever_came_before(folder: Path) -> None:
    perceiver = SaliencyPerceiver(folder)
    first = perceiver.perceive(picture(60, 80), "a")
    perceiver.perceive(picture(99, 40, 1), "b")
    assert np.array_equal(first.values_hw, perceiver.perceive(picture(60, 80), "a").values_hw)


def test_the_mirrored_view_makes_a_mirrored_picture_a_mirrored_map(folder: Path) -> None:
    perceiver = SaliencyPerceiver(folder, views=ViewSettings(long_side_px=128, mirror=True))
    image = picture(128, 96)
    here = perceiver.perceive(image, "").values_hw
    there = perceiver.perceive(np.ascontiguousarray(image[:, ::-1]), "").values_hw
    assert np.allclose(here, there[:, ::-1], atol=1e-6)


def test_calibration_shifts_and_scales_logits(folder: Path) -> None:
    image = picture(64, 128)
    plain = SaliencyPerceiver(folder).perceive(image, "").values_hw
    views = ViewSettings(long_side_px=128, scale=2.0, shift=-1.0)
    moved = SaliencyPerceiver(folder, views=views).perceive(image, "").values_hw
    logit = np.log(plain / (1 - plain))
    assert np.allclose(moved, 1 / (1 + np.exp(1 - 2 * logit)), atol=0.02)


def test_tiles_cover_a_large_picture_and_agree_with_the_whole_where_they_are_off(
    folder: Path,
) -> None:
    image = picture(150, 600)
    views = ViewSettings(long_side_px=128, tiles=True, tile_weight=0.0)
    tiled = SaliencyPerceiver(folder, views=views).perceive(image, "").values_hw
    whole = SaliencyPerceiver(folder).perceive(image, "").values_hw
    assert np.allclose(tiled, whole, atol=1e-6)
    mixed = SaliencyPerceiver(folder, views=replace(views, tile_weight=1.0)).perceive(image, "")
    assert not np.allclose(mixed.values_hw, whole, atol=1e-3)


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 700), (1025, 1025), (1024, 1024), (5000, 4000)]
)
def test_tile_boxes_cover_every_pixel_with_overlap(height: int, width: int) -> None:
    boxes = tile_boxes(height, width, 512)
    if max(height, width) <= 1024:
        assert boxes == ()
        return
    seen = np.zeros((height, width), np.int32)
    for box in boxes:
        assert box.width <= 1024
        assert box.height <= 1024
        seen[box.slices] += 1
    assert seen.min() >= 1


def test_a_changed_or_missing_file_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("run.json", "saliency.onnx"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    broken = (tmp_path / "saliency.onnx").read_bytes()
    (tmp_path / "saliency.onnx").write_bytes(broken[:-1] + bytes([broken[-1] ^ 1]))
    described = json.loads((tmp_path / "run.json").read_text("utf-8"))
    described["tokenizer"] = None
    (tmp_path / "run.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(PluginError, match="not the file"):
        SaliencyPerceiver(tmp_path).perceive(picture(8, 8), "")
    (tmp_path / "saliency.onnx").unlink()
    with pytest.raises(PluginError, match="missing"):
        SaliencyPerceiver(tmp_path).perceive(picture(8, 8), "")
    with pytest.raises(PluginError, match="no weights"):
        SaliencyPerceiver(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no exported network"):
        load_compact(tmp_path)


def test_the_hub_class_reads_what_was_exported_and_writes_it_again(
    folder: Path, tmp_path: Path
) -> None:
    from retoucher.perception.hub import CompactSaliencyNet

    net, _ = load_compact(folder)
    hub = CompactSaliencyNet.from_pretrained(folder, local_files_only=True)
    hub.save_pretrained(tmp_path)
    again = CompactSaliencyNet.from_pretrained(tmp_path, local_files_only=True)
    for name, value in net.state_dict().items():
        assert torch.equal(value, hub.state_dict()[name])
        assert torch.equal(value, again.state_dict()[name])


def test_a_wrong_picture_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="uint8"):
        SaliencyPerceiver(folder).perceive(np.zeros((4, 4), np.uint8), "")


def test_run_time_imports_no_torch() -> None:
    code = "import sys, retoucher.perception.saliency; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
