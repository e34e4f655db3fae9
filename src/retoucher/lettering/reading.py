"""Reading the lettering of a picture: where it is, what it says, how sure the reader is."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from retoucher.lettering.ctc import Decoded, LatinAlphabet, alignment_log_prob, decode
from retoucher.lettering.edits import edit_distance
from retoucher.lettering.engine import EngineSettings, OcrEngine, engine_version, model_digests
from retoucher.lettering.quads import crop_quad, quad_height_px, rotate_quad, slice_quad
from retoucher.lettering.rereading import changes, is_cut, reading_order, touches
from retoucher.looking import Basis, basis_of

RgbArray = NDArray[np.uint8]
QuadArray = NDArray[np.float64]
Found = tuple[QuadArray, float]
"""A quad of text, picture pixels, and how sure the detector is."""

_TALL = 1.5
"""A quad this many times taller than wide holds text turned by a quarter."""
_SURE = 0.9
"""A line read at least this well is not tried upside down."""
_SAME = 0.5
"""Two quads that overlap so much (IoU of their bounds) are the same line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """How pictures are brought to a size at which text is found.

    Attributes:
        engine: thresholds and threads of the networks.
        min_side_px: a picture whose longer side is smaller is enlarged to this for detection.
        max_side_px: a picture whose longer side is larger is reduced to this for detection.
        max_lines: at most so many lines are read, the largest first.
        cache_size: how many pictures' readings are kept.
    """

    engine: EngineSettings = field(default_factory=EngineSettings)
    min_side_px: int = 768
    max_side_px: int = 1536
    max_lines: int = 120
    cache_size: int = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextWord:
    """One word of a line.

    Attributes:
        text: as read, without spaces.
        quad_xy: float (4, 2), picture pixels, clockwise from the word's own top-left.
        confidence: mean probability of its characters, 0 to 1.
        char_confidences: one per character of `text`.
    """

    text: str
    quad_xy: QuadArray
    confidence: float
    char_confidences: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextLine:
    """One line of text.

    Attributes:
        text: as read; may be empty where something like text was found but nothing was read.
        quad_xy: float (4, 2), picture pixels, clockwise from the text's own top-left.
        confidence: mean probability of its characters, 0 to 1; 0 for an empty text.
        words: left to right.
        detection: how sure the detector is that this is text, 0 to 1.
        decoded: the recogniser's probabilities, for `TextReader.support`.
    """

    text: str
    quad_xy: QuadArray
    confidence: float
    words: tuple[TextWord, ...]
    detection: float
    decoded: Decoded = field(repr=False)

    @property
    def height_px(self) -> float:
        return quad_height_px(self.quad_xy)


class TextReader:
    """Reads pictures with RapidOCR; the same picture is read once.

    Where the loop says since which state a picture is looked at (`looking_since`), only the places
    that changed are read again. The networks are loaded at the first reading. Readings are
    deterministic and may be asked for from several threads, one at a time.
    """

    def __init__(self, settings: ReaderSettings | None = None) -> None:
        self.settings = settings or ReaderSettings()
        self._engine: OcrEngine | None = None
        self._latin: LatinAlphabet | None = None
        self._cache: OrderedDict[bytes, tuple[TextLine, ...] | None] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def version(self) -> str:
        """Name and version of the OCR package."""
        return engine_version()

    @property
    def weights(self) -> dict[str, str]:
        """sha256 of the networks by file name, for `AgentInfo.weights`.

        Raises:
            MissingDependencyError: RapidOCR or its models are not installed.
        """
        return model_digests()

    def read(self, image_rgb: RgbArray) -> tuple[TextLine, ...]:
        """Lines of a picture, top to bottom; none for a picture without text.

        Args:
            image_rgb: uint8 (H, W, 3) of any size.

        Raises:
            InputError: the array is not such a picture.
            MissingDependencyError: RapidOCR or its models are not installed.
        """
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise InputError(
                f"reading needs an RGB picture, uint8 (H, W, 3), got {image_rgb.dtype} "
                f"{image_rgb.shape}; convert it first"
            )
        if image_rgb.size == 0:
            return ()
        pixels = np.ascontiguousarray(image_rgb)
        key, basis = picture_key(pixels), basis_of(image_rgb)
        with self._lock:
            if basis is not None and (lines := self._read_since(pixels, key, basis)) is not None:
                return lines
            return self._kept(key, lambda: self._read(pixels)) or ()

    def _kept(
        self, key: bytes, read: Callable[[], tuple[TextLine, ...] | None]
    ) -> tuple[TextLine, ...] | None:
        """What was read under this key before, or is now."""
        if key not in self._cache:
            self._cache[key] = read()
            while len(self._cache) > self.settings.cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _read_since(
        self, pixels: RgbArray, key: bytes, basis: Basis
    ) -> tuple[TextLine, ...] | None:
        """Lines by those of the basis, read again where the pictures differ; None: read it whole.

        It depends on the two pictures alone, not on whether this one was read whole before.
        """
        earlier = np.ascontiguousarray(basis.image_rgb)
        earlier_key = picture_key(earlier)
        lines = self._kept(earlier_key, lambda: self._read(earlier)) or ()
        if key == earlier_key:
            return lines
        again = self._kept(key + earlier_key, lambda: self._read_changes(pixels, earlier, lines))
        basis.used |= again is not None
        return again

    def reread(self, image_rgb: RgbArray, quad_xy: QuadArray) -> tuple[str, float]:
        """What one line says when its quad is given, and the confidence; no detection."""
        with self._lock:
            found = self._recognise(image_rgb, [quad_xy])[0]
        return found.text, found.confidence

    def support(self, line: TextLine, text: str) -> float:
        """How far the pixels allow that the line says `text` instead of what was read, 0 to 1.

        The geometric mean, per edit between the two, of the probability of `text` over that of
        the text as read: near 1, it may as well be `text`; near 0, it clearly says something else.
        """
        if not text or not line.text:
            return 0.0
        edits = edit_distance(text, line.text)
        if edits == 0:
            return 1.0
        with self._lock:
            index = self._loaded()[1].index
        gap = alignment_log_prob(line.decoded.latin_tc, text, index) - line.decoded.log_prob
        return float(np.exp(min(0.0, gap / edits)))

    def _loaded(self) -> tuple[OcrEngine, LatinAlphabet]:
        if self._engine is None or self._latin is None:
            self._engine = OcrEngine(self.settings.engine)
            self._latin = LatinAlphabet(self._engine.alphabet)
        return self._engine, self._latin

    def _recognise(self, image_rgb: RgbArray, quads: list[QuadArray]) -> list[Decoded]:
        engine, latin = self._loaded()
        probs = engine.recognise([crop_quad(image_rgb, q) for q in quads])
        return [decode(p, engine.alphabet, latin) for p in probs]

    def _read(self, image_rgb: RgbArray) -> tuple[TextLine, ...]:
        engine, _ = self._loaded()
        canvas, scale_xy = self._detection_canvas(image_rgb)
        found = _in_picture(engine.detect(canvas), scale_xy, image_rgb)
        if len(found) > self.settings.max_lines:
            keep = sorted(range(len(found)), key=lambda i: -cv2.contourArea(_f32(found[i][0])))
            found = [found[i] for i in sorted(keep[: self.settings.max_lines])]
        return tuple(self._read_lines(image_rgb, found))

    def _read_changes(
        self, image_rgb: RgbArray, earlier_rgb: RgbArray, lines: tuple[TextLine, ...]
    ) -> tuple[TextLine, ...] | None:
        """The earlier picture's lines, with those at changed places read again; None: read all."""
        engine, _ = self._loaded()
        canvas, scale_xy = self._detection_canvas(image_rgb)
        earlier, _ = self._detection_canvas(earlier_rgb)
        quads = [line.quad_xy * scale_xy for line in lines]
        what = changes((canvas != earlier).any(axis=2), quads)
        if what is None or len(lines) >= self.settings.max_lines:
            return None
        kept = [lines[i] for i in what.kept]
        bounds = [_bounds(line.quad_xy) for line in kept]
        found: list[Found] = []
        for window in what.windows:
            for quad, score in engine.detect(canvas[window.slices]):
                placed = quad + np.array([window.x0, window.y0], np.float64)
                if not touches(placed, what.again):
                    continue
                if is_cut(placed, window, *canvas.shape[:2]):
                    return None
                found.append((placed, score))
        found = [
            (quad, score)
            for quad, score in _in_picture(found, scale_xy, image_rgb)
            if not any(_bounds(quad).iou(other) > _SAME for other in bounds)
        ]
        together = [*kept, *self._read_lines(image_rgb, found)]
        order = reading_order([line.quad_xy * scale_xy for line in together])
        return tuple(together[i] for i in order)

    def _detection_canvas(self, image_rgb: RgbArray) -> tuple[RgbArray, NDArray[np.float64]]:
        """The picture at detection size, padded to sides of at least 64 px, and its scale."""
        h, w = image_rgb.shape[:2]
        longer = max(h, w)
        target = float(np.clip(longer, self.settings.min_side_px, self.settings.max_side_px))
        # More than 4x only blurs, and would make a giant of a 1x1 picture.
        factor = min(target / longer, 4.0)
        new_w, new_h = max(1, round(w * factor)), max(1, round(h * factor))
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(image_rgb, (new_w, new_h), interpolation=how)
        # The detector works on multiples of 32: pad, so that it does not stretch the picture.
        pad_h = max(64, -(-new_h // 32) * 32) - new_h
        pad_w = max(64, -(-new_w // 32) * 32) - new_w
        canvas = cv2.copyMakeBorder(resized, 0, pad_h, 0, pad_w, cv2.BORDER_REPLICATE)
        return np.asarray(canvas, np.uint8), np.array([new_w / w, new_h / h])

    def _read_lines(self, image_rgb: RgbArray, found: list[Found]) -> list[TextLine]:
        """Reads each quad upright; tall ones turned both ways, unsure ones upside down too."""
        upright = [rotate_quad(q, 1) if _is_tall(q) else q for q, _ in found]
        best = list(zip(upright, self._recognise(image_rgb, upright), strict=True))
        unsure = [
            i
            for i, (_, text) in enumerate(best)
            if text.confidence < _SURE or _is_tall(found[i][0])
        ]
        turned = [rotate_quad(best[i][0], 2) for i in unsure]
        for i, quad, other in zip(unsure, turned, self._recognise(image_rgb, turned), strict=True):
            if _readability(other) > _readability(best[i][1]) + 0.1:
                best[i] = (quad, other)
        scores = [score for _, score in found]
        return [_line(q, d, s) for (q, d), s in zip(best, scores, strict=True)]


@cache
def shared_reader() -> TextReader:
    """This process's reader with default settings.

    Perceiver, reasoner and verifier look at the same states of a picture; with one reader each
    state is read once.
    """
    return TextReader()


def picture_key(image_rgb: RgbArray) -> bytes:
    """The same for the same pixels, to keep what was found out about them."""
    pixels = np.ascontiguousarray(image_rgb)
    return hashlib.blake2b(pixels.data, key=repr(pixels.shape).encode()[:64]).digest()


def _line(quad: QuadArray, found: Decoded, detection: float) -> TextLine:
    words = tuple(
        TextWord(
            text=word.text,
            quad_xy=slice_quad(quad, word.start, word.end),
            confidence=float(np.mean(word.char_confidences)),
            char_confidences=word.char_confidences,
        )
        for word in found.words
    )
    return TextLine(
        text=" ".join(w.text for w in words),
        quad_xy=quad,
        confidence=found.confidence,
        words=words,
        detection=detection,
        decoded=found,
    )


def _readability(found: Decoded) -> float:
    return found.confidence if len(found.text) > 1 else 0.5 * found.confidence


def _in_picture(
    found: Sequence[Found], scale_xy: NDArray[np.float64], image_rgb: RgbArray
) -> list[Found]:
    """From the detector's canvas to picture pixels; specks are left out."""
    placed = [(_inside(quad / scale_xy, image_rgb), score) for quad, score in found]
    return [(q, s) for q, s in placed if quad_height_px(q) >= 2 and _width_px(q) >= 2]


def _bounds(quad: QuadArray) -> Box:
    low, high = np.floor(quad.min(0)), np.ceil(quad.max(0))
    return Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1)


def _inside(quad: QuadArray, image_rgb: RgbArray) -> QuadArray:
    h, w = image_rgb.shape[:2]
    return np.clip(quad, 0.0, np.array([w, h], np.float64))


def _width_px(quad: QuadArray) -> float:
    return float(np.linalg.norm(quad[1] - quad[0]))


def _is_tall(quad: QuadArray) -> bool:
    return quad_height_px(quad) > _TALL * _width_px(quad)


def _f32(quad: QuadArray) -> NDArray[np.float32]:
    return quad.astype(np.float32)
