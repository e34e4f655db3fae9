"""Prompts as token ids: the compact preset's own tokenizer, or the one of a pretrained T5."""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ConfigError
from retoucher.perception.paper import PaperConfig
from retoucher.train.extras import need


class PromptTokenizer(Protocol):
    """What the text branch needs; `retoucher.vision.tokenizer.HashTokenizer` is one."""

    def encode(self, prompt: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids and validity, each of one fixed length (T,)."""
        ...


class PretrainedTokenizer:
    """The tokenizer that belongs to preset `paper`'s text encoder.

    An empty prompt keeps its end-of-sentence token, so that attention has something to look at.

    Args:
        config: names the encoder.
        max_tokens: longer prompts are cut, shorter ones padded.

    Raises:
        ConfigError: the tokenizer cannot be had, or cannot pad.
        MissingDependencyError: transformers is not installed.
    """

    def __init__(self, config: PaperConfig, max_tokens: int) -> None:
        need("transformers", "preset = 'paper'")
        from transformers import AutoTokenizer

        options: dict[str, Any] = {"local_files_only": config.local_files_only}
        if config.text_revision is not None:
            options["revision"] = config.text_revision
        try:
            load = cast("Any", AutoTokenizer).from_pretrained
            self._tokenizer: Any = load(config.text_model, **options)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{config.text_model}: no tokenizer there; give a hub name or a folder ({error})"
            ) from None
        if self._tokenizer.pad_token_id is None or self._tokenizer.eos_token_id is None:
            raise ConfigError(f"{config.text_model}: its tokenizer has no padding or end token")
        self._max_tokens = max_tokens

    def encode(self, prompt: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids and validity, each of shape (max_tokens,)."""
        found = self._tokenizer(
            prompt, truncation=True, padding="max_length", max_length=self._max_tokens
        )
        ids = np.asarray(found["input_ids"], np.int64)
        seen = np.asarray(found["attention_mask"], np.bool_)
        if not seen.any():
            ids[0], seen[0] = int(self._tokenizer.eos_token_id), True
        return ids, seen
