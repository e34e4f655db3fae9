"""The parts of benchmarks/reasoning_strategies.py: loss, advantages, replies, the small model."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.errors import InputError
from retoucher.evaluation.wording import Encoder
from retoucher.train.rewards import format_reward

torch = pytest.importorskip("torch", reason="needs the extra torch")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from strategies import experiment, figures, grpo_loss, places, replies, training  # noqa: E402
from strategies.language import Words, cut  # noqa: E402
from strategies.model import IGNORED, ModelSettings, Prompt, SmallVlm, padded_replies  # noqa: E402


def place(category="hand_shape", words="Six fingers", thing="", split="train"):
    severity = 0 if category == NO_DEFECT else 2
    return places.Place(
        split=split,
        sample="s",
        prompt="A picture of a maid",
        category=category,
        severity=severity,
        words=words if severity else "",
        thing=thing,
        mirrored=False,
    )


# The loss


def test_loss_is_the_equation_token_by_token():
    rng = np.random.default_rng(3)
    shape = (3, 5)
    now, old, ref = (rng.normal(-1, 0.5, shape) for _ in range(3))
    advantage = rng.normal(0, 1, 3)
    length = [5, 2, 3]
    mask = np.arange(5)[None] < np.array(length)[:, None]
    clip, beta = 0.2, 0.1
    per_reply, kls = [], []
    for b in range(3):
        total, total_kl = 0.0, 0.0
        for t in range(length[b]):
            ratio = math.exp(now[b, t] - old[b, t])
            bounded = min(max(ratio, 1 - clip), 1 + clip)
            gain = min(ratio * advantage[b], bounded * advantage[b])
            quotient = math.exp(ref[b, t]) / math.exp(now[b, t])
            kl = quotient - math.log(quotient) - 1
            total += gain - beta * kl
            total_kl += kl
        per_reply.append(total / length[b])
        kls.append(total_kl / length[b])
    tensors = [torch.from_numpy(a) for a in (now, old, ref, advantage, mask)]
    loss, kl = grpo_loss.grpo_loss(*tensors, clip=clip, beta=beta)
    assert loss.item() == pytest.approx(-np.mean(per_reply))
    assert kl.item() == pytest.approx(np.mean(kls))


def test_at_the_old_policy_the_gradient_is_the_policy_gradient():
    now = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]], requires_grad=True)
    mask = torch.ones(2, 2, dtype=torch.bool)
    advantage = torch.tensor([1.0, -2.0])
    loss, kl = grpo_loss.grpo_loss(
        now, now.detach(), now.detach(), advantage, mask, clip=0.2, beta=0.5
    )
    loss.backward()
    assert kl.item() == 0
    assert now.grad is not None
    torch.testing.assert_close(now.grad, -advantage[:, None].expand(2, 2) / 4)


def test_advantages_are_normalised_in_their_group():
    rewards = torch.tensor([1.0, 2.0, 3.0, 10.0, 10.0, 40.0])
    got = grpo_loss.advantages(rewards, 3, eps=0.0)
    for group in got.view(2, 3):
        assert group.mean().item() == pytest.approx(0, abs=1e-6)
        assert group.std().item() == pytest.approx(1)
    # n - 1 in the deviation, as torch and TRL have it
    assert got[:3].tolist() == pytest.approx([-1, 0, 1])


def test_a_group_of_equal_rewards_teaches_nothing():
    got = grpo_loss.advantages(torch.tensor([0.3] * 4), 4)
    assert torch.isfinite(got).all()
    assert got.abs().max().item() < 1e-2
    assert not torch.isnan(grpo_loss.advantages(torch.zeros(4), 4)).any()


def test_token_logprobs_are_those_of_the_softmax():
    logits = torch.randn(2, 3, 7)
    ids = torch.randint(0, 7, (2, 3))
    got = grpo_loss.token_logprobs(logits, ids)
    for b in range(2):
        for t in range(3):
            expected = torch.log_softmax(logits[b, t], 0)[ids[b, t]]
            assert got[b, t].item() == pytest.approx(expected.item(), abs=1e-6)


# Replies


def test_a_target_is_a_reply_of_the_product():
    for truth in (place(), place(NO_DEFECT, thing="hand"), place("text_wrong", 'says "OPNE"')):
        text = replies.target(truth)
        assert format_reward([replies.full_reply(text)]) == [1.0]
        (said,) = replies.judged([truth], [text])
        assert said.diagnosis.category == truth.category
        assert said.diagnosis.description == (truth.words or "The hand looks right")


@pytest.mark.parametrize(
    ("text", "category", "valid"),
    [
        ('{"category": "hand_shape", "description": "x"}', "hand_shape", 1.0),
        ('{"category": "hand_shape", "description": "x"', UNKNOWN, 0.0),
        ("{'category': 'hand_shape', 'description': 'x'}", "hand_shape", 0.0),
        ('So: {"category": "hand_shape", "description": "x"}', "hand_shape", 0.0),
        ('{"category": "hand", "description": "x"}', UNKNOWN, 0.0),
        ('{"category": "hand_shape"}', UNKNOWN, 0.0),
        ('{"category": "no_defect", "description": "x"}', NO_DEFECT, 1.0),
        ("A hand in a picture of a maid", UNKNOWN, 0.0),
        ("", UNKNOWN, 0.0),
    ],
)
def test_the_product_decides_what_a_reply_says(text, category, valid):
    (said,) = replies.judged([place()], [text])
    assert said.diagnosis.category == category
    assert format_reward([replies.full_reply(text)]) == [valid]


def test_rewards_prefer_the_better_reply():
    encoder = Encoder(
        name="letters",
        encode=lambda s: np.array([[x.count(c) for c in "abc"] for x in s], np.float32),
    )
    truth = place(words="aab")
    texts = [
        replies.compact("hand_shape", "aab"),
        replies.compact("hand_finger_count", "aab"),
        replies.compact("text_wrong", "c"),
        "nothing",
    ]
    recipe = training.Recipe()
    total, means = training.rewards_of(texts, [truth] * 4, encoder, recipe)
    assert total.tolist() == pytest.approx([1.0, 0.7, 0.2, 0.0])
    assert means["format"] == 0.75
    clean, _ = training.rewards_of(texts[:1], [place(NO_DEFECT, thing="hand")], encoder, recipe)
    assert clean.tolist() == pytest.approx([0.0])  # 0.2 for the form, -0.2 for the invention


# The model


def llama(layers=3, vocabulary=40):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    return transformers.LlamaForCausalLM(config).eval()


def vlm(**settings):
    return SmallVlm(llama(), 5, ModelSettings(visual_tokens=4, hidden=8, **settings)).eval()


def test_the_prefix_has_its_shape_and_the_embeddings_length():
    model = vlm()
    prompt = model.prompt([[1, 2, 3], [4]], torch.randn(2, 5))
    assert prompt.embedded_ble.shape == (2, 3 + 4, 16)
    assert prompt.mask_bl.tolist() == [[1] * 7, [0, 0, 1, 1, 1, 1, 1]]
    visual = prompt.embedded_ble[:, 3:]
    table = model.lm.get_input_embeddings().weight
    assert visual.square().mean().sqrt().item() == pytest.approx(
        table.square().mean().sqrt().item(), rel=1e-3
    )


def test_padding_changes_nothing():
    model, x = vlm(), torch.randn(2, 5)
    ids, _ = padded_replies([[5, 6, 7], [8]], end=39)
    together = model.reply_logits(model.prompt([[1, 2, 3], [4]], x), ids)
    alone = model.reply_logits(model.prompt([[4]], x[1:]), ids[1:])
    assert together.shape == (2, 4, 40)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_another_place_changes_the_logits():
    model = vlm()
    ids, _ = padded_replies([[5, 6]], end=39)
    one, other = (
        model.reply_logits(model.prompt([[1]], torch.full((1, 5), v)), ids) for v in (0.5, -2.0)
    )
    assert (one - other).abs().max() > 1e-4


def test_generation_with_a_cache_is_the_argmax_without_one():
    model = vlm()
    prompt = model.prompt([[1, 2, 3], [4]], torch.randn(2, 5))
    ids = model.generate(prompt, end=39, max_tokens=6)
    logits = model.reply_logits(prompt, ids)
    before_end = training.written(ids, 39)
    assert torch.equal(logits.argmax(2)[before_end], ids[before_end])


def test_samples_of_a_prompt_stand_together():
    model = vlm()
    prompt = model.prompt([[1, 2, 3], [4]], torch.randn(2, 5))
    greedy = model.generate(prompt, end=39, max_tokens=4)
    cold = model.generate(
        prompt,
        end=39,
        max_tokens=4,
        samples=3,
        temperature=1e-4,
        generator=torch.Generator().manual_seed(0),
    )
    assert torch.equal(cold, greedy.repeat_interleave(3, 0))


def test_a_reply_ends_at_its_end():
    ids, labels = padded_replies([[5, 6, 7], [8]], end=9)
    assert ids.tolist() == [[5, 6, 7, 9], [8, 9, 9, 9]]
    assert labels.tolist() == [[5, 6, 7, 9], [8, 9, IGNORED, IGNORED]]
    assert training.written(ids, 9).tolist() == [[True] * 4, [True, True, False, False]]


def test_a_cut_that_keeps_everything_is_the_same_model():
    whole = llama()
    same = cut(whole, range(3), range(40))
    ids = torch.randint(0, 40, (2, 6))
    torch.testing.assert_close(same(ids).logits, whole(ids).logits)


def test_a_cut_keeps_its_layers_and_tokens():
    whole = llama()
    kept = [0, 3, 5, 39]
    small = cut(whole, [0, 2], kept)
    whole.model.layers = torch.nn.ModuleList([whole.model.layers[0], whole.model.layers[2]])
    for at, layer in enumerate(whole.model.layers):
        layer.self_attn.layer_idx = at
    ids = torch.tensor([[0, 3, 2]])
    expected = whole(torch.tensor(kept)[ids]).logits[..., kept]
    torch.testing.assert_close(small(ids).logits, expected)
    assert small.lm_head.weight is small.model.embed_tokens.weight


class Letters:
    """A tokenizer of one letter a token, with the calls of transformers' that are used."""

    eos_token_id = 0

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_words_survive_the_cut_vocabulary():
    words = Words.of(Letters(), ["abc", "bd"])
    assert words.token_ids == (97, 98, 99, 100, 0)
    assert words.decode([*words.encode("dab"), words.end, 0, 0]) == "dab"
    assert words.encode("axb") == words.encode("ab")  # a token that is not kept is left out


# Training, on a tiny random model and made-up places


def material(count=48):
    rng = np.random.default_rng(0)
    all_places, features = [], []
    for i in range(count):
        hand = i % 2 == 0
        truth = place("hand_shape", "a b") if hand else place(NO_DEFECT, thing="face")
        split = "train" if i < count - 8 else "validation"
        all_places.append(
            places.Place(**{**{f: getattr(truth, f) for f in truth.__slots__}, "split": split})
        )
        features.append(rng.normal(0, 0.1, 5) + (1 if hand else -1))
    known = places.Places(
        places=tuple(all_places), features_nd=np.array(features, np.float32), network="n"
    )
    words = Words.of(Letters(), training.training_texts(known))
    x_nd = torch.from_numpy(training.standardised(known))
    return training.Material(places=known, x_nd=x_nd, words=words)


def trained(steps):
    pytest.importorskip("peft", reason="the strategies train adapters of peft")
    given = material()
    torch.manual_seed(0)
    model = SmallVlm(
        llama(2, len(given.words.token_ids)), 5, ModelSettings(visual_tokens=2, hidden=16)
    )
    recipe = training.Recipe(
        base_steps=steps,
        base_lr=2e-2,
        sft_steps=steps,
        batch=8,
        sft_lr=2e-2,
        projector_lr=1e-2,
        max_tokens=60,
        lora_rank=8,
        lora_alpha=16,
        grpo_steps=2,
        grpo_places=2,
        group=4,
        updates=2,
    )
    training.train_base(model, given, recipe, 0, lambda line: None)
    losses = training.train_sft(model, given, recipe, 0, lambda line: None)
    return model, given, recipe, losses


# peft asks transformers a question under its old name.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_sft_learns_and_grpo_starts_at_its_reference():
    model, given, recipe, losses = trained(30)
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:2])
    assert not hasattr(model.lm, "peft_config")  # merged
    before = {k: v.clone() for k, v in model.projector.state_dict().items()}
    encoder = Encoder(
        name="length", encode=lambda s: np.array([[1.0, len(x)] for x in s], np.float32)
    )
    log = training.train_grpo(model, given, recipe, encoder, 0, lambda line: None)
    assert len(log) == 2
    assert all(math.isfinite(value) for entry in log for value in entry.values())
    assert log[0]["kl"] >= 0
    for name, value in model.projector.state_dict().items():
        assert torch.equal(value, before[name])
    rows = given.places.rows("validation")
    assert len(training.answers(model, given, rows, recipe)) == len(rows)


def test_rare_categories_are_drawn_more_often():
    given = material()
    rows = given.places.rows("train")
    few = [r for r in rows if given.places.places[r].category == NO_DEFECT][:2]
    some = [r for r in rows if given.places.places[r].category != NO_DEFECT] + few
    share = {}
    for power in (0.0, 1.0):
        source = training.balanced_rows(given.places, some, power, np.random.default_rng(0))
        share[power] = np.mean([r in few for r in training.taken(source, 2000)])
    assert share[0.0] == pytest.approx(len(few) / len(some), abs=0.03)
    assert share[1.0] == pytest.approx(0.5, abs=0.05)


# Figures and files


def test_figures_are_those_of_the_product():
    truths = [place(), place(NO_DEFECT, thing="face"), place("face_feature")]
    texts = [replies.target(truths[0]), replies.compact("hand_shape", "x"), "no JSON"]
    got = figures.figures(truths, texts, [], overlap=False)
    assert got["accuracy"] == pytest.approx(1 / 3)
    assert got["accuracy of defects"] == 0.5
    assert got["no_defect recall"] == 0.0
    assert got["form valid"] == pytest.approx(2 / 3)


def test_differences_are_paired_by_seed():
    better, worse = {0: {"a": 0.5}, 1: {"a": 0.7}}, {1: {"a": 0.6}, 2: {"a": 0.1}}
    assert figures.paired(better, worse).splitlines()[-1] == "| a | +0.100 | 0.100 |"


def test_places_survive_their_file(tmp_path):
    given = material(10).places
    places.write_places(given, tmp_path / "p.npz")
    again = places.read_places(tmp_path / "p.npz")
    assert again.places == given.places
    assert again.network == "n"
    np.testing.assert_array_equal(again.features_nd, given.features_nd)
    (tmp_path / "p.npz").write_bytes(b"other")
    with pytest.raises(InputError, match="delete it"):
        places.read_places(tmp_path / "p.npz")


def test_runs_survive_their_file(tmp_path):
    run = {"strategy": "sft", "seed": 1, "replies": ["a"], "log": [0.5]}
    file = tmp_path / "sft-1.json"
    file.write_text(json.dumps({**run, "cpu_s": 1.0, "wall_s": 2.0}), "utf-8")
    assert experiment.read_run(file).replies == ("a",)
    file.write_text("{", "utf-8")
    with pytest.raises(InputError, match="holds no run"):
        experiment.read_run(file)


def test_a_seed_is_finished_before_the_next_begins():
    assert [seed for _, seed in experiment.planned([1, 2])] == [-1, 1, 1, 1, 2, 2, 2]


def test_prompts_can_be_repeated():
    prompt = Prompt(embedded_ble=torch.arange(4.0).view(2, 2, 1), mask_bl=torch.eye(2).long())
    many = prompt.repeated(2)
    assert many.embedded_ble[:, 0, 0].tolist() == [0, 0, 2, 2]
    assert many.mask_bl[:, 1].tolist() == [0, 0, 1, 1]
