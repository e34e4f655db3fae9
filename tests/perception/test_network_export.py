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
from retoucher.errors import ConfigError, InputError, PluginError  # noqa: E402
from retoucher.perception.compact import CompactConfig, build_compact  # noqa: E402
from retoucher.perception.export import export_compact, load_compact  # noqa: E402
from retoucher.perception.network import NetworkConfig  # noqa: E402
from retoucher.perception.saliency import (  # noqa: E402
    SaliencyPerceiver,
    SaliencySettings,
    ViewSettings,
    tile_boxes,
)
from retoucher.plugins import create  # noqa: E402
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


def weights(folder: Path, **views: bool) -> SaliencySettings:
    return SaliencySettings(weights=str(folder), **views)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (90, 201), (301, 77), (5, 400)])
def test_run_time_equals_torch(folder: Path, height: int, width: int) -> None:
    image = picture(height, width)
    net, config = load_compact(folder)
    sample = Sample(id="x", picture=image, width=width, height=height, prompt="a cat on a mat")
    expected = predict(net, sample, config.tokenizer, 128)
    got = SaliencyPerceiver(weights(folder)).perceive(image, "a cat on a mat").values_hw
    assert got.shape == (height, width)
    assert float(got.std()) > 1e-3
    assert float(np.abs(got - expected).max()) < 1e-4


def test_it_is_a_perceiver_and_names_its_weights(folder: Path) -> None:
    perceiver = SaliencyPerceiver(weights(folder))
    assert isinstance(perceiver, Perceiver)
    described = json.loads((folder / "run.json").read_text("utf-8"))
    assert perceiver.info.weights["saliency.onnx"] == described["sha256"]["saliency.onnx"]
    assert ("prompt.onnx" in perceiver.info.weights) == (described["tokenizer"] is not None)
    assert perceiver.info.settings["long_side_px"] == 128


def test_the_same_picture_gives_the_same_map_whatever_came_before(folder: Path) -> None:
    perceiver = SaliencyPerceiver(weights(folder))
    first = perceiver.perceive(picture(60, 80), "a")
    perceiver.perceive(picture(99, 40, 1), "b")
    assert np.array_equal(first.values_hw, perceiver.perceive(picture(60, 80), "a").values_hw)


def test_the_mirrored_view_makes_a_mirrored_picture_a_mirrored_map(folder: Path) -> None:
    perceiver = SaliencyPerceiver(
        weights(folder), views=ViewSettings(long_side_px=128, mirror=True)
    )
    image = picture(128, 96)
    here = perceiver.perceive(image, "").values_hw
    there = perceiver.perceive(np.ascontiguousarray(image[:, ::-1]), "").values_hw
    assert np.allclose(here, there[:, ::-1], atol=1e-6)


def test_calibration_shifts_and_scales_logits(folder: Path) -> None:
    image = picture(64, 128)
    plain = SaliencyPerceiver(weights(folder)).perceive(image, "").values_hw
    views = ViewSettings(long_side_px=128, scale=2.0, shift=-1.0)
    moved = SaliencyPerceiver(weights(folder), views=views).perceive(image, "").values_hw
    logit = np.log(plain / (1 - plain))
    assert np.allclose(moved, 1 / (1 + np.exp(1 - 2 * logit)), atol=0.02)


def test_a_second_coarser_view_counts_as_much_as_the_first(folder: Path) -> None:
    image = picture(90, 128)

    def seen(**sides: int) -> np.ndarray:
        perceiver = SaliencyPerceiver(weights(folder), views=ViewSettings(**sides))
        values = perceiver.perceive(image, "").values_hw
        return np.log(values / (1 - values))

    both = seen(long_side_px=128, context_side_px=64)
    fine, coarse = seen(long_side_px=128), seen(long_side_px=64)
    # The coarse map alone is enlarged after the sigmoid; away from steps that is nearly the same.
    assert np.abs(both - (fine + coarse) / 2).mean() < 0.1 * np.abs(fine - coarse).mean()
    with pytest.raises(ConfigError, match="below long_side_px"):
        ViewSettings(long_side_px=128, context_side_px=128)


def test_tiles_raise_what_the_whole_view_misses_and_lower_nothing(folder: Path) -> None:
    image = picture(150, 600)
    whole = SaliencyPerceiver(weights(folder)).perceive(image, "").values_hw
    tiled = SaliencyPerceiver(weights(folder, tiles=True)).perceive(image, "").values_hw
    assert (tiled >= whole).all()
    assert not np.allclose(tiled, whole, atol=1e-3)
    small = picture(100, 256)
    same = SaliencyPerceiver(weights(folder, tiles=True)).perceive(small, "").values_hw
    assert np.array_equal(same, SaliencyPerceiver(weights(folder)).perceive(small, "").values_hw)


def test_a_user_chooses_weights_and_views_as_options(folder: Path) -> None:
    made = create("perceiver", "saliency", {"weights": str(folder), "tiles": True, "mirror": True})
    assert isinstance(made, SaliencyPerceiver)
    assert made.info.weights == SaliencyPerceiver(weights(folder)).info.weights
    chosen = {k: made.info.settings[k] for k in ("tiles", "mirror", "long_side_px")}
    assert chosen == {"tiles": True, "mirror": True, "long_side_px": 128}
    with pytest.raises(ConfigError, match="did you mean 'tiles'"):
        create("perceiver", "saliency", {"tile": True})
    with pytest.raises(PluginError, match="nowhere"):
        create("perceiver", "saliency", {"weights": str(folder / "nowhere")})


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
        SaliencyPerceiver(weights(tmp_path)).perceive(picture(8, 8), "")
    (tmp_path / "saliency.onnx").unlink()
    with pytest.raises(PluginError, match="missing"):
        SaliencyPerceiver(weights(tmp_path)).perceive(picture(8, 8), "")
    with pytest.raises(PluginError, match="no weights"):
        SaliencyPerceiver(weights(tmp_path / "nowhere"))
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
        SaliencyPerceiver(weights(folder)).perceive(np.zeros((4, 4), np.uint8), "")


def test_run_time_imports_no_torch() -> None:
    code = "import sys, retoucher.perception.saliency; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
