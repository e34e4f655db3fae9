"""A model's words with the lettering's measurements: what the letter tool and the verifier need.

A vision-language model says what is wrong; it does not say where a word stands to the pixel, nor
is its reading a measurement. The lettering reader measures both, so its evidence is put beside the
model's diagnosis. Category, severity, words and confidence stay the model's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.lettering.judge import LetteringJudge, shared_judge
from retoucher.reasoning.embedded_lettering import read_region

_READ, _INTENDED = "lettering", "intended_text"


class LetteringEvidence:
    """Adds what a reader of lettering measured to diagnoses.

    Args:
        judge: of lettering; None: the one shared with other agents, so that a picture is read once.
    """

    def __init__(self, judge: LetteringJudge | None = None) -> None:
        self._judge = judge

    @property
    def weights(self) -> Mapping[str, str]:
        """Digests of the reader's weights."""
        return (self._judge or shared_judge()).weights

    def added(
        self,
        diagnoses: Sequence[Diagnosis],
        image_rgb: RgbArray,
        prompt: str,
        regions: Sequence[Region],
    ) -> tuple[Diagnosis, ...]:
        """The diagnoses with evidence of kind "lettering" where lettering was read, and of kind
        "intended_text" where moreover the model calls it a defect of text, or cannot tell.

        Args:
            diagnoses: one per region, in their order.
            image_rgb: uint8 (H, W, 3).
            prompt: "" when unknown.
            regions: of the picture.

        Raises:
            InputError, MissingDependencyError: as `TextReader.read`.
        """
        if not regions:
            return tuple(diagnoses)
        height, width = image_rgb.shape[:2]
        judgement = (self._judge or shared_judge()).judge(image_rgb, prompt)
        read = [read_region(region, judgement, height, width).diagnosis for region in regions]
        return tuple(
            replace(model, evidence=(*model.evidence, *_wanted(model, measured)))
            for model, measured in zip(diagnoses, read, strict=True)
        )


def _wanted(model: Diagnosis, measured: Diagnosis | None) -> list[Evidence]:
    category = taxonomy().get(model.category)
    about_text = category.dimension == "text" if category else model.category == UNKNOWN
    kinds = (_READ, _INTENDED) if about_text else (_READ,)
    return [e for e in measured.evidence if e.kind in kinds] if measured else []
