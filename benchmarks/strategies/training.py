"""What the model is taught: the base, then supervised fine-tuning, then GRPO."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retoucher.agents import FloatArray
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.evaluation.wording import Encoder
from retoucher.train.rewards import (
    category_reward,
    description_reward,
    format_reward,
    invention_penalty,
)
from strategies.grpo_loss import advantages, grpo_loss, token_logprobs
from strategies.language import Words
from strategies.model import IGNORED, SmallVlm, padded_replies
from strategies.places import Place, Places
from strategies.replies import compact, full_reply, target

Report = Callable[[str], None]

MAX_PROMPT_TOKENS = 8
VERDICT, CAPTION = "Verdict:", "Caption:"
_DIMENSIONS = {
    "hand": ("hand",),
    "face": ("face",),
    "text": ("text",),
    "foot": ("limb",),
    "person": ("limb", "face"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every choice of the training; made on the validation split alone.

    Attributes:
        lora_rank, lora_alpha: of the adapters, on all linear layers.
        balance: a category is drawn as its number of places to one minus this power.
        batch: places a step, in the base's alignment and SFT.
        base_steps, base_lr: of the alignment; all weights of the language model learn.
        projector_lr: in the alignment and SFT.
        sft_steps, sft_lr: of the adapter.
        grpo_steps, grpo_lr: of the adapter; the projector stays as it is.
        grpo_places, group: places a step, and replies to each.
        updates: of the policy for each set of replies.
        clip, beta: see `grpo_loss`.
        temperature: of the replies in GRPO.
        max_tokens: of a reply.
        weights: of format, category, description and invention rewards.
        dimension_credit: see `category_reward`.
    """

    lora_rank: int = 16
    lora_alpha: int = 32
    balance: float = 0.5
    batch: int = 16
    base_steps: int = 100
    base_lr: float = 3e-4
    projector_lr: float = 2e-3
    sft_steps: int = 80
    sft_lr: float = 2e-3
    grpo_steps: int = 14
    grpo_lr: float = 1e-3
    grpo_places: int = 6
    group: int = 6
    updates: int = 1
    clip: float = 0.2
    beta: float = 0.04
    temperature: float = 1.0
    max_tokens: int = 40
    weights: tuple[float, float, float, float] = (0.2, 0.4, 0.4, 0.2)
    dimension_credit: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What training reads.

    Attributes:
        places: all of them.
        x_nd: standardised features, (N, D).
        words: the vocabulary.
    """

    places: Places
    x_nd: Tensor
    words: Words

    def texts(self, rows: Sequence[int]) -> list[list[int]]:
        """What is read before the place, when a verdict is asked for."""
        return [verdict_text(self.places.places[i], self.words) for i in rows]


def standardised(places: Places, clip: float = 4.0) -> FloatArray:
    """Features in units of the training split's mean and deviation, (N, D)."""
    known = places.features_nd[places.rows("train")]
    z = (places.features_nd - known.mean(0)) / (known.std(0) + 1e-3)
    return np.clip(z, -clip, clip).astype(np.float32)


def training_texts(places: Places) -> Iterator[str]:
    """All that the training splits hold in words; the vocabulary is cut to it."""
    yield from (f" {VERDICT}", f" {CAPTION}", *(lesson("", name) for name in taxonomy()))
    for place in places.places:
        if place.split == "train":
            yield from (target(place), place.prompt)
        if place.split in ("train", "caption") and place.thing:
            yield from (caption(place), lesson(place.thing, NO_DEFECT), place.prompt)


def caption(place: Place) -> str:
    """What a clean part is, in what picture."""
    where = place.prompt[:1].lower() + place.prompt[1:]
    return f"A {place.thing} in {where}" if where else f"A {place.thing}"


def possible(thing: str) -> list[str]:
    """The verdicts that may apply to a thing, whatever it looks like.

    >>> possible("hand")
    ['hand_finger_count', 'hand_shape', 'no_defect']
    """
    dimensions = _DIMENSIONS.get(thing, ("object", "interaction"))
    return [*(c.name for c in taxonomy().values() if c.dimension in dimensions), NO_DEFECT]


def lesson(thing: str, category: str) -> str:
    """A verdict in the taxonomy's own words."""
    known = taxonomy().get(category)
    words = known.phrase.capitalize() if known else f"The {thing} looks right"
    return compact(category, words)


def verdict_text(place: Place, words: Words) -> list[int]:
    return [*words.encode(place.prompt)[:MAX_PROMPT_TOKENS], *words.encode(f" {VERDICT}")]


def balanced_rows(
    places: Places,
    rows: Sequence[int],
    power: float,
    rng: np.random.Generator,
    kind: Callable[[Place], str] = lambda place: place.category,
) -> Iterator[int]:
    """Rows without end; each pass draws anew, rare kinds more often than they occur."""
    names = [kind(places.places[i]) for i in rows]
    counts = Counter(names)
    weight = np.array([counts[name] ** -power for name in names])
    while True:
        yield from rng.choice(np.array(rows), len(rows), p=weight / weight.sum()).tolist()


def taken(source: Iterator[int], count: int) -> list[int]:
    return [next(source) for _ in range(count)]


def rate(step: int, steps: int) -> float:
    """Linear warm-up over a tenth, then half a cosine down to a twentieth."""
    warm = max(1, steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def with_adapter(model: SmallVlm, recipe: Recipe, seed: int) -> None:
    """Puts a fresh LoRA adapter on the language model; only it learns there."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    model.lm = get_peft_model(model.lm, config)


def merged(model: SmallVlm) -> None:
    """Takes the adapter into the weights: what is learnt next starts from here."""
    model.lm = model.lm.merge_and_unload()
    model.eval()


def optimiser_of(model: SmallVlm, lm_lr: float, projector_lr: float) -> torch.optim.AdamW:
    groups: list[dict[str, Any]] = [
        {"params": [p for p in model.lm.parameters() if p.requires_grad], "lr": lm_lr}
    ]
    model.projector.requires_grad_(projector_lr > 0)
    if projector_lr > 0:
        groups.append(
            {"params": list(model.projector.parameters()), "lr": projector_lr, "weight_decay": 0.05}
        )
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups, weight_decay=0.0, betas=(0.9, 0.98))


def descend(model: SmallVlm, optimiser: torch.optim.Optimizer, loss: Tensor, share: float) -> None:
    """One step at a share of the peak rates."""
    optimiser.zero_grad()
    cast("Any", loss).backward()
    learning = [p for group in optimiser.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(learning, 1.0)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share
    optimiser.step()


def cross_entropy(
    model: SmallVlm,
    texts: Sequence[Sequence[int]],
    x_bd: Tensor | None,
    replies: Sequence[Sequence[int]],
    end: int,
) -> Tensor:
    """Mean over the tokens of the replies."""
    ids, labels = padded_replies(replies, end)
    logits = model.reply_logits(model.prompt(texts, x_bd), ids)  # (B, T, V)
    return functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def train_base(
    model: SmallVlm, material: Material, recipe: Recipe, seed: int, report: Report
) -> None:
    """What the paper's VLM brings along: it names what it sees, and knows form and names.

    It learns captions of clean parts and of the pool's objects, and, every other step, verdicts on
    clean parts drawn blindly from those that may apply to such a thing. So it knows which names go
    with a hand, but not what a wrong hand looks like: no defect is shown. All weights learn, as the
    cut took most.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    places, words = material.places, material.words
    parts = [i for i in places.rows("train") if places.places[i].thing]
    shown = parts + places.rows("caption")
    asked_about = balanced_rows(places, parts, recipe.balance, rng, lambda place: place.thing)
    model.train()
    optimiser = optimiser_of(model, recipe.base_lr, recipe.projector_lr)
    asked = words.encode(f" {CAPTION}")
    for step in range(recipe.base_steps):
        captions = step % 2 == 0
        if captions:
            batch = rng.choice(shown, recipe.batch).tolist()
            replies = [caption(places.places[i]) for i in batch]
            texts = [asked] * len(batch)
        else:
            batch = taken(asked_about, recipe.batch)
            things = [places.places[i].thing for i in batch]
            replies = [lesson(t, str(rng.choice(possible(t)))) for t in things]
            texts = material.texts(batch)
        reply_ids = [words.encode(reply)[: recipe.max_tokens - 1] for reply in replies]
        loss = cross_entropy(model, texts, material.x_nd[batch], reply_ids, words.end)
        descend(model, optimiser, loss, rate(step, recipe.base_steps))
        if step % 20 < 2:
            kind = "captions" if captions else "verdicts"
            report(f"base {step}/{recipe.base_steps}: loss of {kind} {loss.item():.3f}")
    model.eval()


def train_sft(
    model: SmallVlm, material: Material, recipe: Recipe, seed: int, report: Report
) -> list[float]:
    """Stage (a): cross-entropy of people's verdicts; adapter and projector. Losses by step."""
    with_adapter(model, recipe, seed)
    places, words = material.places, material.words
    rng = np.random.default_rng(seed)
    source = balanced_rows(places, places.rows("train"), recipe.balance, rng)
    optimiser = optimiser_of(model, recipe.sft_lr, recipe.projector_lr)
    model.train()
    losses: list[float] = []
    for step in range(recipe.sft_steps):
        batch = taken(source, recipe.batch)
        replies = [words.encode(target(places.places[i])) for i in batch]
        replies = [reply[: recipe.max_tokens - 1] for reply in replies]
        loss = cross_entropy(model, material.texts(batch), material.x_nd[batch], replies, words.end)
        descend(model, optimiser, loss, rate(step, recipe.sft_steps))
        losses.append(loss.item())
        if step % 10 == 0:
            report(f"sft {step}/{recipe.sft_steps}: loss {loss.item():.3f}")
    merged(model)
    return losses


def rewards_of(
    texts: Sequence[str], truths: Sequence[Place], encoder: Encoder, recipe: Recipe
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of the four rewards, (N,), and the mean of each."""
    replies = [full_reply(text) for text in texts]
    categories = [place.category for place in truths]
    each = {
        "format": format_reward(replies),
        "category": category_reward(replies, categories, dimension_credit=recipe.dimension_credit),
        "description": description_reward(
            replies, [place.words for place in truths], encode=encoder.encode
        ),
        "invention": invention_penalty(replies, categories),
    }
    total = np.sum([w * np.array(r) for w, r in zip(recipe.weights, each.values(), strict=True)], 0)
    return torch.from_numpy(total).float(), {k: float(np.mean(v)) for k, v in each.items()}


def train_grpo(
    model: SmallVlm,
    material: Material,
    recipe: Recipe,
    encoder: Encoder,
    seed: int,
    report: Report,
) -> list[dict[str, float]]:
    """Stage (b): GRPO on the adapter alone; the reference is the model as it comes in.

    Returns each step's mean rewards, total and KL divergence from the reference.
    """
    with_adapter(model, recipe, seed)
    places, words = material.places, material.words
    source = balanced_rows(
        places, places.rows("train"), recipe.balance, np.random.default_rng(seed + 1000)
    )
    generator = torch.Generator().manual_seed(seed)
    optimiser = optimiser_of(model, recipe.grpo_lr, 0.0)
    model.eval()  # no dropout: the ratio of the first update is exactly one
    log: list[dict[str, float]] = []
    for step in range(recipe.grpo_steps):
        batch = taken(source, recipe.grpo_places)
        with torch.no_grad():
            prompt = model.prompt(material.texts(batch), material.x_nd[batch])
        model.lm.merge_adapter()  # as fast as without one
        ids = model.generate(
            prompt,
            end=words.end,
            max_tokens=recipe.max_tokens,
            samples=recipe.group,
            temperature=recipe.temperature,
            generator=generator,
        )
        model.lm.unmerge_adapter()
        truths = [places.places[i] for i in batch for _ in range(recipe.group)]
        texts = [words.decode(row) for row in ids.tolist()]
        reward, means = rewards_of(texts, truths, encoder, recipe)
        advantage = advantages(reward, recipe.group)
        mask = written(ids, words.end)
        many = prompt.repeated(recipe.group)
        with torch.no_grad(), model.lm.disable_adapter():
            reference = token_logprobs(model.reply_logits(many, ids), ids)
        old, kl = None, torch.zeros(())
        for _ in range(recipe.updates):
            now = token_logprobs(model.reply_logits(many, ids) / recipe.temperature, ids)
            old = now.detach() if old is None else old
            loss, kl = grpo_loss(
                now, old, reference, advantage, mask, clip=recipe.clip, beta=recipe.beta
            )
            descend(model, optimiser, loss, rate(step, recipe.grpo_steps))
        log.append({**means, "reward": float(reward.mean()), "kl": float(kl)})
        if step % 2 == 0:
            said = ", ".join(f"{k} {v:.3f}" for k, v in log[-1].items())
            report(f"grpo {step}/{recipe.grpo_steps}: {said}")
    merged(model)
    return log


def written(ids_bt: Tensor, end: int) -> Tensor:
    """True for a reply's tokens and its first end, bool (B, T)."""
    ended = (ids_bt == end).int().cumsum(1) - (ids_bt == end).int()
    return ended == 0


def answers(
    model: SmallVlm, material: Material, rows: Sequence[int], recipe: Recipe, batch: int = 32
) -> list[str]:
    """Greedy replies to these places."""
    model.eval()
    out: list[str] = []
    for at in range(0, len(rows), batch):
        some = list(rows[at : at + batch])
        with torch.no_grad():
            prompt = model.prompt(material.texts(some), material.x_nd[some])
        ids = model.generate(prompt, end=material.words.end, max_tokens=recipe.max_tokens)
        out += [material.words.decode(row) for row in ids.tolist()]
    return out
