from pathlib import Path

import numpy as np
import pytest

from retoucher.errors import ConfigError, MissingDependencyError
from retoucher.evaluation.wording import (
    cosine,
    meteor,
    score_wording,
    sentence_encoder,
    word_vector_encoder,
)

VECTORS = "2 3\nhand 1 0 0\nfinger 0.6 0.8 0\ncup 0 0 2\n"


def test_cosine_of_nothing_is_zero() -> None:
    a = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    b = np.array([[2, 0], [1, -1], [1, 1]], np.float32)
    assert cosine(a, b) == pytest.approx([1, 0, 0])


def test_word_vectors_are_averaged_over_known_words(tmp_path: Path) -> None:
    file = tmp_path / "glove.txt"
    file.write_text(VECTORS, "utf-8")
    encoder = word_vector_encoder(file)
    assert encoder.name == "mean of glove"
    encoded = encoder.encode(["Hand, cup!", "nothing known"])
    assert encoded == pytest.approx(np.array([[0.5, 0, 1], [0, 0, 0]]))
    scores = score_wording(["hand", "hand"], ["finger", "zzz"], [encoder], overlap=False)
    assert scores.cosine == {"mean of glove": pytest.approx(0.3)}
    assert (scores.pairs, scores.meteor) == (2, None)


@pytest.mark.parametrize("text", ["", "a 1 2\nb 1 2 3\n", "a x y\n"])
def test_no_word_vectors(tmp_path: Path, text: str) -> None:
    file = tmp_path / "v.txt"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="word vectors"):
        word_vector_encoder(file)
    with pytest.raises(ConfigError, match="cannot read"):
        word_vector_encoder(tmp_path / "missing.txt")


def test_rouge_is_that_of_rouge_score_and_meteor_that_of_nltk() -> None:
    pytest.importorskip("rouge_score", reason="needs the extra eval")
    pytest.importorskip("nltk", reason="needs the extra eval")
    try:
        same = meteor("the hand has six fingers", "The hand has six fingers.")
    except MissingDependencyError:
        pytest.skip("needs WordNet: python -m nltk.downloader wordnet")
    assert same > 0.99
    assert meteor("the hand has six fingers", "a green cup") == 0
    scores = score_wording(["the hand has six fingers"], ["the hand has five fingers"], [])
    assert scores.rouge1 == pytest.approx(0.8)
    assert scores.rouge2 == pytest.approx(0.5)
    assert scores.rouge_l == pytest.approx(0.8)
    assert scores.meteor is not None
    assert 0.5 < scores.meteor < 1


def test_both_sides_must_be_as_long() -> None:
    with pytest.raises(ValueError, match="as many"):
        score_wording(["a"], [], [])


def test_a_sentence_encoder_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra eval")
    with pytest.raises(ConfigError, match="cannot load the sentence encoder"):
        sentence_encoder(str(tmp_path / "missing"))
