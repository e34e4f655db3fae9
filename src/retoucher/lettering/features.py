"""What is measured of a line of text to tell garbled lettering from lettering that is fine."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.lettering.lexicon import core, is_word, plausibility
from retoucher.lettering.quads import crop_quad, quad_width_px
from retoucher.lettering.reading import TextLine

RgbArray = NDArray[np.uint8]

FEATURES = (
    "doubt",
    "doubt_worst",
    "doubt_median",
    "log_characters",
    "doubt_x_characters",
    "log_height",
    "height_share",
    "other_script",
    "detection",
    "word_share",
    "implausible",
    "oddities",
    "log_sharpness",
    "log_contrast",
    "log_pitch",
    "runner_up",
)
"""Names of the features, in the order of `line_features`."""

_PROFILE_HEIGHT_PX = 32


def line_features(image_rgb: RgbArray, line: TextLine) -> NDArray[np.float64]:
    """Features of one line, float64 (len(FEATURES),), all finite."""
    confidences = [c for w in line.words for c in w.char_confidences] or [0.0]
    doubts = -np.log(np.clip(confidences, 1e-3, 0.999))
    letters = [c for c in line.text if c.isalnum()]
    count = max(len(letters), 1)
    sharpness, contrast = _pixel_statistics(image_rgb, line)
    doubt = float(doubts.mean())
    return np.array(
        [
            doubt,
            float(doubts.max()),
            float(np.median(doubts)),
            np.log(count),
            doubt * np.log(count),
            np.log(max(line.height_px, 1.0)),
            line.height_px / max(image_rgb.shape[:2]),
            sum(not _is_latin(c) for c in letters) / count,
            line.detection,
            _word_share(line),
            -plausibility(line.text),
            _oddities(line.text) / count,
            np.log(sharpness),
            np.log(contrast),
            np.log(max(quad_width_px(line.quad_xy), 1.0) / max(line.height_px, 1.0) / count),
            _runner_up(line),
        ]
    )


def _is_latin(char: str) -> bool:
    return char.isascii() or unicodedata.name(char, "").startswith("LATIN ")


def _word_share(line: TextLine) -> float:
    """Share of the characters that stand in known words of at least three letters, or numbers."""
    good = total = 0
    for word in line.words:
        bare = core(word.text)
        total += max(len(bare), 1)
        sure = word.confidence >= 0.5
        if sure and len(bare) >= 3 and bare.isalpha() and is_word(word.text):
            good += len(bare)
    return good / max(total, 1)


def _oddities(text: str) -> int:
    """Changes that words do not show: lower to upper case, letter to digit and back."""
    count = 0
    for token in text.split():
        for a, b in pairwise(token):
            count += a.islower() and b.isupper()
            count += a.isalpha() and b.isdigit()
            count += a.isdigit() and b.isalpha()
    return count


def _runner_up(line: TextLine) -> float:
    """Mean probability left beside the best character, over steps that hold one."""
    probs = line.decoded.latin_tc
    held = probs[:, 0] < 0.5
    if not held.any():
        return 1.0
    return float(1.0 - probs[held][:, 1:].max(1).mean())


def _pixel_statistics(image_rgb: RgbArray, line: TextLine) -> tuple[float, float]:
    """Edge strength over contrast, and contrast (standard deviation), of the line's crop."""
    grey = cv2.cvtColor(crop_quad(image_rgb, line.quad_xy), cv2.COLOR_RGB2GRAY).astype(np.float32)
    contrast = float(grey.std())
    width = int(np.clip(grey.shape[1] * _PROFILE_HEIGHT_PX / grey.shape[0], 4, 2048))
    scaled = cv2.resize(grey, (width, _PROFILE_HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    edges = float(np.abs(cv2.Laplacian(scaled, cv2.CV_32F)).mean())
    return max(edges / max(contrast, 1.0), 1e-3), max(contrast, 1.0)
