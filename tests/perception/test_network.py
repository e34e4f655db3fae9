"""The network: shapes at any size, padding, switches, and what its parts promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retoucher.errors import ConfigError  # noqa: E402
from retoucher.perception.attention import SelfAttention, sinusoidal_grid  # noqa: E402
from retoucher.perception.compact import CompactConfig, build_compact  # noqa: E402
from retoucher.perception.efficientnet_lite import (  # noqa: E402
    EfficientNetLite,
    SameConv,
    adopt_imagenet_weights,
)
from retoucher.perception.network import DistortionSaliencyNet, NetworkConfig  # noqa: E402
from retoucher.vision.tokenizer import HashTokenizer  # noqa: E402

NARROW = NetworkConfig(token_width=16, heads=2, decoder_width=8, fusion_layers=1)
TINY = CompactConfig(trunk="tiny", network=NARROW, tokenizer=HashTokenizer(buckets=64))


def tiny(**changes: object) -> DistortionSaliencyNet:
    torch.manual_seed(0)
    network = replace(NARROW, **changes)  # type: ignore[arg-type]
    net = build_compact(replace(TINY, network=network))
    # Far from the initial, nearly constant output, so that differences show.
    torch.nn.init.normal_(net.head[-1].weight, std=1.0)
    return net.eval()


def prompt(net: DistortionSaliencyNet, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids, valid = (torch.from_numpy(x)[None] for x in TINY.tokenizer.encode(text))
    return net.encode_text(ids, valid), valid


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 160), (224, 96)])
def test_any_size_gives_logits_at_the_stride(height: int, width: int, stride: int) -> None:
    net = tiny(decoder_stride=stride, score_heads=("overall", "alignment"))
    text, seen = prompt(net, "a cat")
    image, valid = torch.rand(1, 3, height, width) * 2 - 1, torch.ones(1, height, width)
    with torch.no_grad():
        out = net(image, valid, text, seen)
    assert out.logits_bhw.shape == (1, height // stride, width // stride)
    assert out.scores_bn.shape == (1, 2)
    assert bool(((out.scores_bn > 0) & (out.scores_bn < 1)).all())


def test_what_lies_in_the_padding_of_the_tokens_is_never_looked_at() -> None:
    attention = SelfAttention(16, 2)
    valid = torch.tensor([[True] * 5 + [False] * 3])
    x = torch.randn(1, 8, 16)
    y = x.clone()
    y[:, 5:] += 100
    assert torch.equal(attention(x, valid)[:, :5], attention(y, valid)[:, :5])


def test_padding_far_from_the_picture_changes_little() -> None:
    net = tiny()
    text, seen = prompt(net, "a cat")
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    padded = torch.zeros(1, 3, 128, 256)
    padded[..., :128] = image
    valid = torch.zeros(1, 128, 256)
    valid[..., :128] = 1
    with torch.no_grad():
        alone = net(image, torch.ones(1, 128, 128), text, seen).logits_bhw
        beside = net(padded, valid, text, seen).logits_bhw[..., :16]
    # Only convolutions reach over the border, and only a few cells.
    spread = float(alone.std())
    assert float((alone - beside)[..., :6].abs().max()) < 0.2 * spread


def test_the_prompt_matters_and_its_padding_does_not() -> None:
    net = tiny()
    image, valid = torch.rand(1, 3, 64, 64), torch.ones(1, 64, 64)
    cat, seen = prompt(net, "a cat")
    other, other_seen = prompt(net, "two hands that hold an umbrella")
    with torch.no_grad():
        first = net(image, valid, cat, seen).logits_bhw
        second = net(image, valid, other, other_seen).logits_bhw
        cut = net(image, valid, cat[:, :4], seen[:, :4]).logits_bhw
    assert not torch.allclose(first, second)
    assert torch.allclose(first, cut, atol=1e-5)


def test_no_prompt_and_an_empty_prompt_are_the_same() -> None:
    net = tiny()
    image, valid = torch.rand(1, 3, 64, 64), torch.ones(1, 64, 64)
    text, seen = prompt(net, "")
    assert not bool(seen.any())
    with torch.no_grad():
        empty = net(image, valid, text, seen).logits_bhw
        none = net(image, valid).logits_bhw
    assert torch.allclose(empty, none, atol=1e-5)


def test_switches_remove_their_weights() -> None:
    full = {k.split(".")[0] for k in tiny().state_dict()}
    names = set(tiny(refinement=False, text=False).state_dict())
    assert "text" in full
    assert not any(".refine." in n or n.startswith("text") for n in names)
    assert any(".refine." in n for n in tiny().state_dict())


def test_every_weight_gets_a_gradient() -> None:
    net = tiny(score_heads=("overall",)).train()
    text, seen = prompt(net, "a cat")
    out = net(
        torch.rand(2, 3, 64, 64), torch.ones(2, 64, 64), text.expand(2, -1, -1), seen.expand(2, -1)
    )
    (out.logits_bhw.square().mean() + out.scores_bn.sum()).backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_saliency_starts_low() -> None:
    torch.manual_seed(0)
    net = build_compact(TINY).eval()
    with torch.no_grad():
        start = torch.sigmoid(net(torch.rand(1, 3, 64, 64), torch.ones(1, 64, 64)).logits_bhw)
    assert float(start.mean()) < 0.3


def test_configuration_is_checked() -> None:
    with pytest.raises(ConfigError, match="token_width"):
        NetworkConfig(token_width=20, heads=3)
    with pytest.raises(ConfigError, match="decoder_stride"):
        NetworkConfig(decoder_stride=16)
    with pytest.raises(ConfigError, match="text encoder"):
        DistortionSaliencyNet(EfficientNetLite("tiny"), None, NARROW)
    with pytest.raises(ConfigError, match="lite0"):
        EfficientNetLite("lite9")


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2), (1, 1)])
def test_padding_is_tensorflows(kernel: int, stride: int) -> None:
    conv = SameConv(1, 1, kernel, stride)
    inner = next(m for m in conv.modules() if isinstance(m, torch.nn.Conv2d))
    torch.nn.init.ones_(inner.weight)
    torch.nn.init.zeros_(inner.bias)
    picture = torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8)
    total = max(kernel - stride, 0)
    padded = np.pad(picture[0, 0].numpy(), (total // 2, total - total // 2))
    expected = [
        [padded[y : y + kernel, x : x + kernel].sum() for x in range(0, 8, stride)]
        for y in range(0, 8, stride)
    ]
    got = conv(picture)[0, 0].detach().numpy()
    assert np.allclose(got, expected)


def test_published_weights_are_folded_in_their_order() -> None:
    trunk = EfficientNetLite("tiny")
    rng = torch.Generator().manual_seed(1)
    published: dict[str, torch.Tensor] = {}
    convs = [m for m in trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    for i, conv in enumerate(convs):
        n = conv.out_channels
        published[f"{i}.weight"] = torch.randn(conv.weight.shape, generator=rng)
        published[f"{i}.bn.weight"] = torch.rand(n, generator=rng) + 0.5
        published[f"{i}.bn.bias"] = torch.randn(n, generator=rng)
        published[f"{i}.bn.running_mean"] = torch.randn(n, generator=rng)
        published[f"{i}.bn.running_var"] = torch.rand(n, generator=rng) + 0.1
        published[f"{i}.bn.num_batches_tracked"] = torch.tensor(7)
    published["classifier"] = torch.zeros(3)
    adopt_imagenet_weights(trunk, published)
    x = torch.randn(1, 3, 16, 16, generator=rng)
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))
    raw = torch.nn.functional.conv2d(padded, published["0.weight"], stride=2)
    normed = torch.nn.functional.batch_norm(
        raw,
        published["0.bn.running_mean"],
        published["0.bn.running_var"],
        published["0.bn.weight"],
        published["0.bn.bias"],
        eps=1e-3,
    )
    assert torch.allclose(trunk.stem(x), normed.clamp(0, 6), atol=1e-4)
    with pytest.raises(ConfigError, match="another"):
        adopt_imagenet_weights(
            EfficientNetLite("lite0"), {f"{k}": torch.zeros(1) for k in range(999)}
        )
    with pytest.raises(ConfigError, match="too few"):
        adopt_imagenet_weights(trunk, {"a": torch.zeros(1)})


def test_positions_differ_everywhere() -> None:
    grid = sinusoidal_grid(6, 9, 16)[0].flatten(1).T
    distance = torch.cdist(grid, grid) + 9 * torch.eye(54)
    assert float(distance.min()) > 0.05


def test_tokenizer_is_stable_and_bounded() -> None:
    tokenizer = HashTokenizer(buckets=50, max_tokens=6)
    ids, valid = tokenizer.encode("A Picture, of  a NURSE with two dogs")
    again, _ = tokenizer.encode("a picture, of a nurse with two cats")
    assert valid.all()
    assert ids.min() >= 1
    assert ids.max() < 50
    assert ids.tolist() == again.tolist()
    empty, none = tokenizer.encode("  ")
    assert not none.any()
    assert empty.tolist() == [0] * 6
    assert tokenizer.encode("a")[0][0] == 1 + 0xE8B7BE43 % 49


def test_the_papers_encoders_plug_in(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from retoucher.perception.paper import PaperConfig, build_paper

    vit = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=64,
            patch_size=16,
        )
    )
    t5 = transformers.T5EncoderModel(
        transformers.T5Config(
            d_model=20, d_kv=10, d_ff=24, num_layers=1, num_heads=2, vocab_size=40
        )
    )
    vit.save_pretrained(tmp_path / "vit")
    t5.save_pretrained(tmp_path / "t5")
    config = PaperConfig(
        image_model=str(tmp_path / "vit"),
        text_model=str(tmp_path / "t5"),
        local_files_only=True,
        network=replace(NARROW, decoder_stride=4),
    )
    net = build_paper(config).eval()
    ids, seen = torch.tensor([[3, 5, 1]]), torch.tensor([[True, True, True]])
    with torch.no_grad():
        text = net.encode_text(ids, seen)
        out = net(torch.rand(1, 3, 96, 64), torch.ones(1, 96, 64), text, seen)
    assert text.shape == (1, 3, 16)
    assert out.logits_bhw.shape == (1, 24, 16)
    with pytest.raises(ConfigError, match="folder"):
        build_paper(replace(config, image_model=str(tmp_path / "nowhere")))
