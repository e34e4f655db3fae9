"""A small vision-language model: pooled features of a place as soft tokens before a language model.

What it reads: the text (the picture's prompt, cut, and a word for the task), the place's tokens,
then the reply. Texts are padded on the left, so that replies begin at the same position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

IGNORED = -100
"""Label of a position that is not learnt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Sizes.

    Attributes:
        visual_tokens: soft tokens of a place.
        hidden: width inside of the projector.
        dropout: on the features and inside of the projector, in training.
    """

    visual_tokens: int = 6
    hidden: int = 256
    dropout: float = 0.1


class Projector(nn.Module):
    """Standardised features (B, D) to soft tokens (B, P, E) of the embeddings' own length."""

    def __init__(self, width: int, embedding: int, length: float, settings: ModelSettings) -> None:
        super().__init__()
        self.tokens, self.embedding = settings.visual_tokens, embedding
        self.inner = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(width, settings.hidden),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, settings.visual_tokens * embedding),
        )
        self.scale = nn.Parameter(torch.full((embedding,), length))

    def forward(self, features_bd: Tensor) -> Tensor:
        tokens = self.inner(features_bd).view(-1, self.tokens, self.embedding)  # (B, P, E)
        return functional.rms_norm(tokens, (self.embedding,)) * self.scale


class SmallVlm(nn.Module):
    """Projector and language model.

    Args:
        lm: LlamaForCausalLM, or one with an adapter of peft.
        width: D of the features.
        settings: sizes.
    """

    def __init__(self, lm: Any, width: int, settings: ModelSettings) -> None:
        super().__init__()
        table = lm.get_input_embeddings().weight
        length = float(table.detach().square().mean().sqrt())
        self.lm = lm
        self.projector = Projector(width, table.shape[1], length, settings)

    def prompt(self, text_ids: Sequence[Sequence[int]], features_bd: Tensor | None) -> Prompt:
        """What stands before the reply.

        Args:
            text_ids: B texts of any lengths.
            features_bd: standardised, (B, D); None: there is no picture.
        """
        longest = max(map(len, text_ids))
        ids = torch.tensor([[0] * (longest - len(t)) + list(t) for t in text_ids])  # (B, L)
        mask = torch.tensor([[0] * (longest - len(t)) + [1] * len(t) for t in text_ids])
        embedded = self.lm.get_input_embeddings()(ids)  # (B, L, E)
        if features_bd is not None:
            visual = self.projector(features_bd)  # (B, P, E)
            embedded = torch.cat([embedded, visual], 1)  # (B, L + P, E)
            mask = functional.pad(mask, (0, visual.shape[1]), value=1)
        return Prompt(embedded_ble=embedded, mask_bl=mask)

    def reply_logits(self, prompt: Prompt, reply_ids_bt: Tensor) -> Tensor:
        """Logits of every token of replies, each given what stands before it, (B, T, V)."""
        reply = self.lm.get_input_embeddings()(reply_ids_bt[:, :-1])  # (B, T - 1, E)
        embedded = torch.cat([prompt.embedded_ble, reply], 1)  # (B, L + T - 1, E)
        # What comes after a reply's end is read by nothing that is learnt: causal attention.
        mask = functional.pad(prompt.mask_bl, (0, reply.shape[1]), value=1)
        out = self.lm(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=reply_ids_bt.shape[1],
        )
        return out.logits

    @torch.no_grad()
    def generate(
        self,
        prompt: Prompt,
        *,
        end: int,
        max_tokens: int,
        samples: int = 1,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Replies, int64 (B * samples, T), `end` after their end; the samples of a prompt together.

        Args:
            prompt: of B places.
            end: token that ends a reply.
            max_tokens: greatest T.
            samples: replies to each prompt.
            temperature: 0 takes the likeliest token.
            generator: of the random choice.
        """
        out = self.lm(
            inputs_embeds=prompt.embedded_ble,
            attention_mask=prompt.mask_bl,
            position_ids=positions(prompt.mask_bl),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.cache
        if samples > 1:
            cache.batch_repeat_interleave(samples)
        logits = out.logits[:, -1].repeat_interleave(samples, 0)  # (B * samples, V)
        mask = prompt.mask_bl.repeat_interleave(samples, 0)
        at = mask.sum(1, keepdim=True)  # position of the next token
        done = torch.zeros(len(mask), dtype=torch.bool)
        replies: list[Tensor] = []
        for _ in range(max_tokens):
            token = chosen(logits, temperature, generator).masked_fill(done, end)  # (B * samples,)
            replies.append(token)
            done |= token == end
            if bool(done.all()):
                break
            mask = functional.pad(mask, (0, 1), value=1)
            out = self.lm(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=at,
                cache=cache,
                use_cache=True,
            )
            logits, at = out.logits[:, -1], at + 1
        return torch.stack(replies, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """Embedded prompts.

    Attributes:
        embedded_ble: (B, L, E).
        mask_bl: int64 (B, L), 0 where it is padded, on the left.
    """

    embedded_ble: Tensor
    mask_bl: Tensor

    def repeated(self, times: int) -> Prompt:
        """Each prompt so many times, one after the other."""
        return Prompt(
            embedded_ble=self.embedded_ble.repeat_interleave(times, 0),
            mask_bl=self.mask_bl.repeat_interleave(times, 0),
        )


def positions(mask_bl: Tensor) -> Tensor:
    """Position of each token among those that are not padding."""
    return (mask_bl.cumsum(1) - 1).clamp(min=0)


def chosen(logits_bv: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """The next tokens, (B,)."""
    if temperature == 0:
        return logits_bv.argmax(1)
    shares = (logits_bv / temperature).softmax(1)
    return torch.multinomial(shares, 1, generator=generator)[:, 0]


def padded_replies(replies: Sequence[Sequence[int]], end: int) -> tuple[Tensor, Tensor]:
    """Replies with their end, padded with more of it: ids and labels, int64 (B, T).

    Labels are `IGNORED` behind the end.
    """
    longest = max(map(len, replies)) + 1
    ids = [[*r, *[end] * (longest - len(r))] for r in replies]
    labels = [[*r, end, *[IGNORED] * (longest - len(r) - 1)] for r in replies]
    return torch.tensor(ids), torch.tensor(labels)
