"""Judging lettering: what is garbled, what is misspelled, what it should say, what is fine."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import asdict
from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Json
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.lettering.asked import AskedPhrase, asked_phrases
from retoucher.lettering.edits import (
    edit_distance,
    fold,
    reading_noise,
    same_but_look_alikes,
    with_case_of,
)
from retoucher.lettering.features import line_features
from retoucher.lettering.garbled import garbled_model
from retoucher.lettering.lexicon import core, is_word, nearest
from retoucher.lettering.matching import AskedMatch, match_phrases, shown_exactly
from retoucher.lettering.quads import quad_width_px
from retoucher.lettering.reading import (
    TextLine,
    TextReader,
    TextWord,
    picture_key,
    shared_reader,
)
from retoucher.lettering.units import GARBLED, WRONG, JudgedUnit, Judgement, Source

__all__ = ["GARBLED", "WRONG", "JudgedUnit", "Judgement", "LetteringJudge", "shared_judge"]

RgbArray = NDArray[np.uint8]
QuadArray = NDArray[np.float64]

_MIN_HEIGHT_PX = 10.0
"""Smaller text cannot be judged: it is called fine."""
MIN_GARBLED_HEIGHT_PX = 14.0
"""The letters of a line whose quad is lower are some 9 px high: misread more than garbled."""
DEFECT_AT = 0.4
"""A unit is called garbled from this probability on; the weights are trained for this value."""
_MISSING_DEFECT = 0.6
"""Unclear lettering is garbled at least so probably where the prompt asks for words that are
nowhere to be seen, and this is the one place where they could be."""
_CLEAR = 0.8
"""A line that is no defect counts as judged from this confidence on."""
_SURE_WORD = 0.9
_SURE_CHARACTER = 0.7
_PROMPT_SUPPORT = 0.4
"""Where the pixels allow the asked spelling this far, what was read may be the reader's mistake."""
_DICTIONARY_SUPPORT = 0.15
"""The same without the prompt's word for it: nearly no doubt is left."""
_NOISE_SUPPORT = 0.02
"""The same for letters that a reader mixes up by itself."""


class LetteringJudge:
    """Judges the lettering of pictures. The same picture and prompt are judged once."""

    def __init__(self, reader: TextReader | None = None) -> None:
        self.reader = reader or shared_reader()
        self._cache: OrderedDict[tuple[bytes, str], tuple[tuple[TextLine, ...], Judgement]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    @property
    def weights(self) -> dict[str, str]:
        """Digests of all weights involved, for `AgentInfo.weights`."""
        from retoucher.lettering.garbled import WEIGHTS_FILE

        return {**self.reader.weights, WEIGHTS_FILE: garbled_model().digest}

    @property
    def settings(self) -> dict[str, Json]:
        """What decides the judgement besides the weights, for `AgentInfo.settings`."""
        return {"reader": cast("Json", asdict(self.reader.settings)), "ocr": self.reader.version}

    def judge(self, image_rgb: RgbArray, prompt: str) -> Judgement:
        """Judges every line that is found.

        Args:
            image_rgb: uint8 (H, W, 3).
            prompt: of the picture, "" when unknown; only searched for words.

        Raises:
            InputError, MissingDependencyError: as `TextReader.read`.
        """
        lines = self.reader.read(image_rgb)
        key = picture_key(image_rgb), prompt
        with self._lock:
            if key not in self._cache or self._cache[key][0] is not lines:
                asked = asked_phrases(prompt)
                judging = _Judging(self.reader, image_rgb, prompt, lines, asked)
                self._cache[key] = lines, judging.run()
                if len(self._cache) > self.reader.settings.cache_size:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(key)
            return self._cache[key][1]


@cache
def shared_judge() -> LetteringJudge:
    """This process's judge over `shared_reader`: perceiver and reasoner ask it about the same
    states of a picture, and each is judged once."""
    return LetteringJudge()


class _Judging:
    """The state of judging one picture."""

    def __init__(
        self,
        reader: TextReader,
        image_rgb: RgbArray,
        prompt: str,
        lines: tuple[TextLine, ...],
        asked: tuple[AskedPhrase, ...],
    ) -> None:
        self._reader = reader
        self._image_rgb = image_rgb
        self._lines = lines
        self._asked = asked
        self._prompt_words = _content_words(prompt)
        self._matches = match_phrases([line.text for line in lines], asked)
        self._shown = shown_exactly(list(self._matches.values()), asked)

    def run(self) -> Judgement:
        units: list[JudgedUnit] = []
        for i, line in enumerate(self._lines):
            units += self._judge_line(line, self._matches.get(i))
        return Judgement(units=tuple(self._give_asked_words(units)), asked=self._asked)

    def _judge_line(self, line: TextLine, match: AskedMatch | None) -> list[JudgedUnit]:
        if line.height_px < _MIN_HEIGHT_PX or not line.words:
            return [_unit(line, 0.0, judged=False)]
        if match is not None and match.edits == 0:
            return [_unit(line, 0.0)]
        garbled = self._garbled(line)
        if match is not None and self._is_distorted(line, match):
            return self._against_asked(line, match, garbled)
        if garbled >= DEFECT_AT:
            return [_unit(line, garbled, GARBLED)]
        return self._word_by_word(line, garbled)

    def _garbled(self, line: TextLine) -> float:
        if line.height_px < MIN_GARBLED_HEIGHT_PX or not is_judgeable(line):
            return 0.0
        return garbled_model().probability(line_features(self._image_rgb, line))

    # Against the words that the prompt asks for

    def _is_distorted(self, line: TextLine, match: AskedMatch) -> bool:
        """A line near an asked phrase is a mistake in it, unless it may be something else."""
        words = [w.text for w in line.words]
        if all(is_word(w) for w in words) and any(len(core(w)) >= 3 for w in words):
            # Real words, like "office" where "coffee" is asked for: only a slip of one letter
            # in a phrase that stands nowhere else is taken for a mistake.
            slip = match.edits == 1 and match.phrase not in self._shown
            return slip and line.confidence >= _SURE_WORD
        if match.phrase in self._shown and match.likeness < 0.75:
            return False
        return not (self._is_cut_off(line) and match.phrase in self._shown)

    def _is_cut_off(self, line: TextLine) -> bool:
        """The line begins or ends at the picture's border."""
        h, w = self._image_rgb.shape[:2]
        quad = line.quad_xy
        ends = np.array([quad[0] + quad[3], quad[1] + quad[2]]) / 2
        margin = 0.15 * line.height_px
        return bool((ends <= margin).any() or (ends >= np.array([w, h]) - margin).any())

    def _against_asked(self, line: TextLine, match: AskedMatch, garbled: float) -> list[JudgedUnit]:
        meant = self._asked[match.phrase].words[match.start : match.end]
        if len(meant) != len(line.words):
            whole = with_case_of(" ".join(meant), line.text)
            if self._may_say(line, line.text, whole, _PROMPT_SUPPORT):
                return [_unit(line, 0.0)]
            return [self._wrong(line, line.quad_xy, line.text, line.confidence, whole, garbled)]
        units: list[JudgedUnit] = []
        for word, right in zip(line.words, meant, strict=True):
            whole = with_case_of(right, word.text)
            if self._may_say(line, word.text, whole, _PROMPT_SUPPORT):
                units.append(_word_unit(word, 0.0))
            else:
                units.append(
                    self._wrong(line, word.quad_xy, word.text, word.confidence, whole, garbled)
                )
        return units if any(u.defect for u in units) else [_unit(line, 0.0)]

    def _wrong(
        self,
        line: TextLine,
        quad_xy: QuadArray,
        read: str,
        confidence: float,
        intended: str,
        garbled: float,
    ) -> JudgedUnit:
        doubt = self._support(line, read, intended)
        defect = max(garbled, 0.6 + 0.35 * confidence * (1.0 - doubt))
        return JudgedUnit(
            quad_xy=quad_xy,
            read=read,
            confidence=confidence,
            defect=defect,
            category=GARBLED if garbled >= DEFECT_AT else WRONG,
            intended=intended,
            source="prompt",
        )

    # Against the dictionary

    def _word_by_word(self, line: TextLine, garbled: float) -> list[JudgedUnit]:
        wrong: dict[int, JudgedUnit] = {}
        for i, word in enumerate(line.words):
            found = self._misspelled(line, word)
            if found is not None:
                intended, source = found
                wrong[i] = JudgedUnit(
                    quad_xy=word.quad_xy if len(line.words) > 1 else line.quad_xy,
                    read=word.text,
                    confidence=word.confidence,
                    defect=max(garbled, 0.5 + 0.4 * word.confidence**2),
                    category=WRONG,
                    intended=intended,
                    source=source,
                )
        if not wrong:
            clear = line.confidence >= _CLEAR and bool(fold(line.text))
            return [_unit(line, garbled, judged=clear)]
        rest = (w for w in range(len(line.words)) if w not in wrong)
        units = {**wrong, **{i: _word_unit(line.words[i], garbled) for i in rest}}
        return [units[i] for i in sorted(units)]

    def _misspelled(self, line: TextLine, word: TextWord) -> tuple[str, Source] | None:
        """What a confidently read word was meant to be, if it is misspelled beyond doubt."""
        bare = core(word.text)
        if word.confidence < _SURE_WORD or min(word.char_confidences) < _SURE_CHARACTER:
            return None
        if len(bare) < 4 or not bare.isalpha() or not _has_word_case(bare):
            return None
        if fold(bare) in self._prompt_words or self._is_cut_off(line) or is_word(bare):
            return None
        found = self._prompt_word_for(bare)
        source: Source = "prompt"
        if found is None:
            correction = nearest(bare)
            if correction is None or correction.reading_noise:
                return None
            if _may_be_a_name(fold(bare), correction.word):
                return None
            found, source = correction.word, "dictionary"
        intended = word.text.replace(bare, with_case_of(found, bare))
        if self._may_say(line, word.text, intended, _DICTIONARY_SUPPORT):
            return None
        return intended, source

    def _prompt_word_for(self, bare: str) -> str | None:
        """A word of the prompt (asked for or not) of which this looks like a distorted form."""
        read = fold(bare)
        near = [
            w
            for w in self._prompt_words
            if len(w) >= 5 and edit_distance(read, w) <= (1 if len(w) < 6 else 2)
        ]
        near = [w for w in near if w[0] == read[0] and not w.startswith(read)]
        near = [w for w in near if not reading_noise(read, w)]
        return near[0] if len(near) == 1 else None

    # What was read may be the reader's mistake

    def _support(self, line: TextLine, read: str, meant: str) -> float:
        return self._reader.support(line, line.text.replace(read, meant, 1))

    def _may_say(self, line: TextLine, read: str, meant: str, enough: float) -> bool:
        if same_but_look_alikes(read, meant):
            return True
        noise = reading_noise(read, meant)
        return self._support(line, read, meant) >= (_NOISE_SUPPORT if noise else enough)

    # Garbled lettering where asked words are missing

    def _give_asked_words(self, units: list[JudgedUnit]) -> list[JudgedUnit]:
        """The one asked phrase that stands nowhere belongs to the one place that is garbled."""
        touched = {m.phrase for m in self._matches.values()}
        missing = [
            p
            for i, p in enumerate(self._asked)
            if p.explicit and i not in touched and i not in self._shown
        ]
        if len(missing) != 1:
            return units
        phrase = missing[0]
        places = [i for i, u in enumerate(units) if u.category == GARBLED and u.intended is None]
        if not any(u.category == GARBLED for u in units):
            places = [i for i, u in enumerate(units) if _may_be_a_bad(phrase.text, u)]
            places = places if len(places) == 1 else []
        if not places:
            return units
        if len(places) == 1:
            parts = [phrase.text]
        elif len(places) == len(phrase.words):
            parts = list(phrase.words)
        else:
            return units
        out = list(units)
        for i, part in zip(places, parts, strict=True):
            if _fits(part, units[i]):
                out[i] = _with_intended(units[i], part)
        return out


def is_judgeable(line: TextLine) -> bool:
    """Enough was read to tell lettering from texture: one or two characters could be anything."""
    return sum(c.isalnum() for c in line.text) >= 3


def _may_be_a_bad(text: str, unit: JudgedUnit) -> bool:
    """Lettering about as long as the missing text that could not be read clearly, or is no word."""
    read = len(fold(unit.read))
    alike = 0.5 * len(fold(text)) <= read <= 2 * len(fold(text))
    no_word = unit.confidence < _SURE_WORD and not any(is_word(t) for t in unit.read.split())
    unclear = not unit.judged or no_word
    return unclear and read >= 3 and alike and unit.height_px >= MIN_GARBLED_HEIGHT_PX


def _fits(text: str, unit: JudgedUnit) -> bool:
    """The words would neither have to be squeezed nor spread much to fill the unit's quad."""
    pitch = quad_width_px(unit.quad_xy) / max(unit.height_px, 1.0) / max(len(text), 1)
    return 0.2 <= pitch <= 1.2


def _with_intended(unit: JudgedUnit, text: str) -> JudgedUnit:
    return JudgedUnit(
        quad_xy=unit.quad_xy,
        read=unit.read,
        confidence=unit.confidence,
        defect=max(unit.defect, _MISSING_DEFECT),
        category=GARBLED,
        intended=text,
        source="prompt",
    )


def _unit(
    line: TextLine, defect: float, category: str = NO_DEFECT, *, judged: bool = True
) -> JudgedUnit:
    return JudgedUnit(
        quad_xy=line.quad_xy,
        read=line.text,
        confidence=line.confidence,
        defect=defect,
        category=category,
        judged=judged,
    )


def _word_unit(word: TextWord, defect: float) -> JudgedUnit:
    return JudgedUnit(
        quad_xy=word.quad_xy,
        read=word.text,
        confidence=word.confidence,
        defect=defect,
        category=NO_DEFECT,
    )


def _may_be_a_name(read: str, word: str) -> bool:
    """A short unknown word, or one that differs from a word in its choice of a letter ("Navion").

    Generators mostly double, drop or swap letters; invented names mostly replace one.
    """
    if len(read) < 5:
        return True
    replaced = len(read) == len(word) and sorted(read) != sorted(word)
    return replaced and (len(read) < 7 or read[0] != word[0])


def _has_word_case(bare: str) -> bool:
    """POLICE, Police or police; no camel case, which names and handles use."""
    return bare.isupper() or bare[1:].islower()


def _content_words(prompt: str) -> tuple[str, ...]:
    words = dict.fromkeys(fold(core(token)) for token in prompt[:20_000].split())
    return tuple(w for w in words if w)
