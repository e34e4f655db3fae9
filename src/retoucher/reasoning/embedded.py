"""The reasoner `embedded`: what is wrong in a region, by its lettering and by its looks.

Two voices, the measured one first:

1. Lettering that was read and judged. A mistake in it is the diagnosis, with the evidence that a
   tool needs. Where it is right and fills the region, nothing is wrong there, whatever it looks
   like.
2. Everything else is judged by its looks: a small classifier over the saliency network's features,
   calibrated. Where it is not sure it says "unknown". It never names a mistake in lettering that
   was read and is right, and never a wrong word where nothing was read.

What looks like a hand is measured too: how sure a network of right hands is of it, and whether it
places the joints alike from several sides. That moves the probability of a defect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import retoucher
from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Diagnosis, Evidence, Json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.domain.trace import AgentInfo
from retoucher.errors import PluginError
from retoucher.lettering.judge import GARBLED, WRONG, LetteringJudge, shared_judge
from retoucher.reasoning import embedded_words as words
from retoucher.reasoning.embedded_features import Measured, measure, zoom_features
from retoucher.reasoning.embedded_hands import (
    HandMeasured,
    hand_evidence,
    hand_features,
    measure_hand,
)
from retoucher.reasoning.embedded_lettering import Reading, read_region
from retoucher.reasoning.embedded_model import (
    WEIGHTS_FILE,
    Diagnostician,
    Opinion,
    shipped_diagnostician,
)
from retoucher.vision.hands import HAND_GRAPH, HandNetworks, shared_hands
from retoucher.vision.runtime import PICTURE_GRAPH, SaliencyNetwork, shared_network

_LETTERING_FILLS = 0.4
"""Right lettering that fills so much of a region decides alone."""
_HAND_FROM = 0.1
"""Share of the hand's categories from which a hand is looked for; below it would change little."""
_TOP = 3
"""So many categories stand in the evidence."""


class EmbeddedReasoner:
    """Diagnoses regions without torch, download or network.

    Args:
        judge: of lettering; shared with other agents, so that a picture is read once.
        network: whose features the classifier reads; shared likewise.
        hands: networks that measure hands; shared likewise.
        diagnostician: the classifier; None: the shipped one.
    """

    def __init__(
        self,
        judge: LetteringJudge | None = None,
        network: SaliencyNetwork | None = None,
        hands: HandNetworks | None = None,
        diagnostician: Diagnostician | None = None,
    ) -> None:
        self._judge = judge or shared_judge()
        self._network = network
        self._hands = hands
        self._diagnostician = diagnostician

    @property
    def info(self) -> AgentInfo:
        network, hands, model = self._loaded()
        point = model.point
        return AgentInfo(
            role="reasoner",
            name="embedded",
            version=retoucher.__version__,
            weights={
                **self._judge.weights,
                **network.weights,
                **hands.weights,
                WEIGHTS_FILE.name: model.digest,
            },
            settings={
                **self._judge.settings,
                "defect_from": point.defect,
                "sound_to": point.sound,
                "category_from": point.category,
            },
        )

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        """One diagnosis per region, in their order.

        Args:
            image_rgb: uint8 (H, W, 3).
            prompt: searched for the words that the picture is to show; may be empty.
            regions: of the picture, from perception or drawn by the user.

        Raises:
            InputError, MissingDependencyError: as `TextReader.read`.
            PluginError: the shipped weights are missing or do not belong together.
        """
        if not regions:
            return ()
        judgement = self._judge.judge(image_rgb, prompt)
        height, width = image_rgb.shape[:2]
        return tuple(
            self._one(image_rgb, prompt, region, read_region(region, judgement, height, width))
            for region in regions
        )

    def _one(self, image_rgb: RgbArray, prompt: str, region: Region, reading: Reading) -> Diagnosis:
        read = reading.diagnosis
        if read is not None and (read.is_defect or reading.share >= _LETTERING_FILLS):
            return read
        network, hands, model = self._loaded()
        measured = measure(network, image_rgb, prompt, region)
        opinion = _informed(model.opinion(zoom_features(network, image_rgb, region)), reading)
        hand = None
        if opinion.hand >= _HAND_FROM:
            hand = measure_hand(hands, image_rgb, region)
            opinion = model.after_measuring(opinion, hand_features(hand))
        height, width = image_rgb.shape[:2]
        where = words.position(region.box.centre_xy, height, width)
        category, confidence = _verdict(opinion, model)
        spoken = Diagnosis(
            region_id=region.id,
            category=category,
            severity=_severity(category, opinion),
            description=words.describe(
                category, opinion, measured, where, unclear=reading.unclear, hand=hand
            ),
            confidence=confidence,
            evidence=_evidence(opinion, measured, hand, region, height, width),
        )
        if read is None:
            return spoken
        return replace(spoken, evidence=(*read.evidence, *spoken.evidence))

    def _loaded(self) -> tuple[SaliencyNetwork, HandNetworks, Diagnostician]:
        network, hands = self._network or shared_network(), self._hands or shared_hands()
        model = self._diagnostician or shipped_diagnostician()
        belongs = (model.network, model.hand_network)
        if belongs != (network.weights[PICTURE_GRAPH], hands.weights[HAND_GRAPH]):
            raise PluginError(
                f"{WEIGHTS_FILE.name} was trained on another saliency or hand network than the one "
                "installed; train it again (python recipes/diagnostician.py DATA)"
            )
        self._network, self._hands, self._diagnostician = network, hands, model
        return network, hands, model


def _informed(opinion: Opinion, reading: Reading) -> Opinion:
    """The opinion after what reading says about lettering.

    Where lettering was read and is right, what is wrong must be something else. Where nothing was
    read, no word can be called wrong: what speaks for that speaks for garbled lettering.
    """
    shares = dict(opinion.categories)
    if reading.diagnosis is not None:
        text = shares.pop(GARBLED) + shares.pop(WRONG)
        rest = max(1.0 - text, 1e-6)
        shares = {name: share / rest for name, share in shares.items()}
        return replace(
            opinion,
            defect=opinion.defect * (1.0 - text),
            categories={GARBLED: 0.0, WRONG: 0.0, **shares},
        )
    shares[GARBLED] += shares[WRONG]
    shares[WRONG] = 0.0
    return replace(opinion, categories=shares)


def _verdict(opinion: Opinion, model: Diagnostician) -> tuple[str, float]:
    """Category and confidence: of the defect and its kind together, or of there being none."""
    point = model.point
    if opinion.defect <= point.sound:
        return NO_DEFECT, 1.0 - opinion.defect
    name, share = max(opinion.categories.items(), key=lambda item: item[1])
    if opinion.defect >= point.defect and share >= point.category:
        return name, opinion.defect * share
    return UNKNOWN, opinion.defect


def _severity(category: str, opinion: Opinion) -> int:
    if category == NO_DEFECT:
        return 0
    return 1 if category == UNKNOWN else opinion.severity


def _evidence(
    opinion: Opinion,
    measured: Measured,
    hand: HandMeasured | None,
    region: Region,
    height: int,
    width: int,
) -> tuple[Evidence, ...]:
    """What was estimated (looks, likeliest first), and what was measured (all others)."""
    ranked = sorted(opinion.categories.items(), key=lambda item: -item[1])[:_TOP]
    saliency: Mapping[str, Json] = {
        "inside": round(measured.inside, 4),
        "around": round(measured.around, 4),
        "peak": round(measured.peak, 4),
        "picture": round(measured.picture, 4),
    }
    geometry: Mapping[str, Json] = {
        "area_share": round(region.area_px / (height * width), 5),
        "width_px": region.box.width,
        "height_px": region.box.height,
        "detail_inside": round(measured.detail_inside, 3),
        "detail_around": round(measured.detail_around, 3),
    }
    return (
        *(
            Evidence(
                kind="looks",
                data={
                    "category": name,
                    "share": round(share, 4),
                    "defect": round(opinion.defect, 4),
                },
            )
            for name, share in ranked
        ),
        Evidence(kind="saliency", data=saliency),
        Evidence(kind="geometry", data=geometry),
        *(() if hand is None else (hand_evidence(hand),)),
    )
