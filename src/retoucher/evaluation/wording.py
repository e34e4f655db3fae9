"""How near one description is to another: embeddings, METEOR and ROUGE, by the field's libraries.

Each figure names what computed it; figures of different encoders are never mixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ConfigError, MissingDependencyError

FloatArray = NDArray[np.float32]

_ROUGE = ("rouge1", "rouge2", "rougeL")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """Sentences to vectors.

    Attributes:
        name: printed beside its figures.
        encode: (n sentences) to float32 (n, width); a sentence of which it knows nothing is zeros.
    """

    name: str
    encode: Callable[[Sequence[str]], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingScores:
    """Mean scores over pairs of descriptions, 0 to 1 (a cosine may be negative).

    Attributes:
        pairs: how many.
        cosine: by encoder.
        meteor, rouge1, rouge2, rouge_l: None where it was not computed.
    """

    pairs: int
    cosine: Mapping[str, float]
    meteor: float | None = None
    rouge1: float | None = None
    rouge2: float | None = None
    rouge_l: float | None = None


def score_wording(
    truth: Sequence[str], said: Sequence[str], encoders: Sequence[Encoder], *, overlap: bool = True
) -> WordingScores:
    """Scores of descriptions against those of people.

    Args:
        truth: by people.
        said: by the reasoner, in the same order.
        encoders: for cosines.
        overlap: also METEOR and ROUGE.

    Raises:
        MissingDependencyError: nltk with WordNet, or rouge-score, is missing.
    """
    if len(truth) != len(said):
        raise ValueError(
            f"as many descriptions are needed on both sides: {len(truth)}, {len(said)}"
        )
    if not truth:
        return WordingScores(pairs=0, cosine={encoder.name: float("nan") for encoder in encoders})
    cosines = {
        encoder.name: float(np.mean(cosine(encoder.encode(truth), encoder.encode(said))))
        for encoder in encoders
    }
    if not overlap:
        return WordingScores(pairs=len(truth), cosine=cosines)
    rouge = np.mean([_rouge(t, s) for t, s in zip(truth, said, strict=True)], axis=0)
    meteors = [meteor(t, s) for t, s in zip(truth, said, strict=True)]
    return WordingScores(
        pairs=len(truth),
        cosine=cosines,
        meteor=float(np.mean(meteors)),
        rouge1=float(rouge[0]),
        rouge2=float(rouge[1]),
        rouge_l=float(rouge[2]),
    )


def cosine(a: FloatArray, b: FloatArray) -> FloatArray:
    """Row by row; 0 where one of the two is zeros."""
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    dots = np.einsum("nd,nd->n", a, b)
    return np.divide(dots, length, out=np.zeros_like(dots), where=length > 0)


def words_of(text: str) -> list[str]:
    """Lower-case words and numbers.

    >>> words_of("The hand's 6 fingers.")
    ['the', 'hand', 's', '6', 'fingers']
    """
    return re.findall(r"[a-z0-9]+", text.lower())


def sentence_encoder(model: str) -> Encoder:
    """A model of sentence-transformers, from a folder or the hub (SimCSE or any other).

    Raises:
        MissingDependencyError: sentence-transformers is missing.
        ConfigError: the model cannot be loaded.
    """
    _require("sentence_transformers")
    from sentence_transformers import SentenceTransformer

    try:
        loaded = cast(Any, SentenceTransformer(model))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot load the sentence encoder {model!r}: {error}") from error

    def encode(sentences: Sequence[str]) -> FloatArray:
        vectors = loaded.encode(list(sentences), show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, np.float32)

    folder = Path(model)
    name = "/".join(folder.resolve().parts[-2:]) if folder.is_dir() else model
    return Encoder(name=name, encode=encode)


def word_vector_encoder(path: Path) -> Encoder:
    """The mean of word vectors, from a text file of lines "word number number ..." (GloVe, or
    word2vec's text format).

    Raises:
        ConfigError: the file cannot be read, or holds no vectors.
    """
    vectors: dict[str, FloatArray] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                word, *numbers = line.rstrip().split(" ")
                if len(numbers) > 1:  # word2vec's first line holds two counts
                    vectors[word] = np.array(numbers, np.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read word vectors from {path}: {error}") from error
    widths = {vector.size for vector in vectors.values()}
    if len(widths) != 1:
        raise ConfigError(f"{path} holds no word vectors, or some of different width: {widths}")
    width = widths.pop()

    def encode(sentences: Sequence[str]) -> FloatArray:
        rows = np.zeros((len(sentences), width), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            known = [vectors[word] for word in words_of(sentence) if word in vectors]
            if known:
                row[:] = np.mean(known, axis=0)
        return rows

    return Encoder(name=f"mean of {path.stem}", encode=encode)


def meteor(truth: str, said: str) -> float:
    """METEOR by nltk, with WordNet's synonyms.

    Raises:
        MissingDependencyError: nltk or WordNet is missing.
    """
    _require("nltk")
    meteor_score = import_module("nltk.translate.meteor_score").meteor_score
    try:
        # Asked for at once: equal sentences alone would never need it.
        import_module("nltk.corpus").wordnet.ensure_loaded()
        return float(meteor_score([words_of(truth)], words_of(said)))
    except (LookupError, OSError) as error:
        raise MissingDependencyError(
            "METEOR needs WordNet: python -m nltk.downloader wordnet"
        ) from error


def _rouge(truth: str, said: str) -> tuple[float, ...]:
    """F-measures of ROUGE-1, -2 and -L by rouge-score, with stemming."""
    scores = _rouge_scorer().score(truth, said)
    return tuple(float(scores[name].fmeasure) for name in _ROUGE)


@cache
def _rouge_scorer() -> Any:
    _require("rouge_score")
    return import_module("rouge_score.rouge_scorer").RougeScorer(list(_ROUGE), use_stemmer=True)


def _require(module: str) -> None:
    if find_spec(module) is None:
        raise MissingDependencyError(
            f"scores of descriptions need {module}: pip install 'agentic-retoucher[eval]'"
        )
