"""Agreement with the prompt, by real dual encoders with random weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="needs the extra [vlm]")
pytest.importorskip("torch", reason="needs the extra [vlm]")

import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from retoucher.agents import RgbArray, VerifyRequest
from retoucher.config import settings_from
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import ConfigError
from retoucher.testing import ScriptedPerceiver, ScriptedReasoner, saliency_of_boxes
from retoucher.verification.agreement import Agreement, AgreementSettings
from retoucher.verification.improvement import ImprovementVerifier, VerifySettings
from tests.verification.tiny_encoders import save_clip, save_siglip, save_words_only

H, W = 48, 64
BOX = Box(16, 12, 40, 36)
PROMPT = "a red door in a white wall"
KINDS: dict[str, Callable[[Path], Path]] = {"clip": save_clip, "siglip": save_siglip}


@pytest.fixture(scope="module", params=sorted(KINDS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return KINDS[request.param](tmp_path_factory.mktemp(request.param))


def picture(seed: int) -> RgbArray:
    """Blotches of colour."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.ascontiguousarray(small.repeat(H // 3, axis=0).repeat(W // 4, axis=1))


def asked(before: RgbArray, after: RgbArray, prompt: str = PROMPT, box: Box = BOX) -> VerifyRequest:
    return VerifyRequest(
        before_rgb=before,
        after_rgb=after,
        region=Region.from_box(box, id="r1"),
        diagnosis=Diagnosis(
            region_id="r1", category="object_structure", severity=2, description="", confidence=0.9
        ),
        changed_box=box,
        prompt=prompt,
        saliency_before=saliency_of_boxes(H, W, [box]),
        tool="t",
    )


@cache
def loaded(folder: Path) -> tuple[Any, Any, Any]:
    kinds: tuple[Any, ...] = AutoModel, AutoTokenizer, AutoImageProcessor
    model, tokenizer, processor = (kind.from_pretrained(folder) for kind in kinds)
    return model.eval(), tokenizer, processor


def cosine(folder: Path, image_rgb: RgbArray, prompt: str) -> float:
    """As the model itself compares them, before its scale."""
    model, tokenizer, processor = loaded(folder)
    words = tokenizer(
        [prompt], padding="max_length", max_length=20, truncation=True, return_tensors="pt"
    )
    pixels = processor(images=[image_rgb], return_tensors="pt")
    with torch.inference_mode():
        out = model(**words, **pixels)
    return float((out.image_embeds @ out.text_embeds.T)[0, 0])


def two_pictures(folder: Path) -> tuple[RgbArray, RgbArray, float]:
    """One that agrees better, one that agrees worse, and by how much."""
    several = [picture(seed) for seed in range(6)]
    scores = [cosine(folder, image, PROMPT) for image in several]
    best, worst = int(np.argmax(scores)), int(np.argmin(scores))
    return several[best], several[worst], scores[best] - scores[worst]


def test_what_it_measures_is_the_models_own_cosine(folder: Path) -> None:
    better, worse, gap = two_pictures(folder)
    everywhere = Box.of_picture(H, W)
    check = Agreement(AgreementSettings(model=str(folder), device="cpu")).check(
        asked(better, worse, box=everywhere)
    )
    assert check.before == pytest.approx(cosine(folder, better, PROMPT), abs=1e-5)
    assert check.after == pytest.approx(cosine(folder, worse, PROMPT), abs=1e-5)
    assert check.before - check.after == pytest.approx(gap, abs=1e-5)


def test_less_agreement_than_the_margin_allows_fails_and_more_passes(folder: Path) -> None:
    better, worse, gap = two_pictures(folder)
    everywhere = Box.of_picture(H, W)
    for margin, passes in ((0.5 * gap, False), (1.5 * gap, True)):
        judge = Agreement(AgreementSettings(model=str(folder), device="cpu", margin=margin))
        assert judge.check(asked(better, worse, box=everywhere)).passed is passes
        assert judge.check(asked(worse, better, box=everywhere)).passed


def test_the_view_that_lost_more_is_named(folder: Path) -> None:
    """Only the middle is replaced: the surroundings see more of it than the picture does."""
    before = picture(0)
    judge = Agreement(AgreementSettings(model=str(folder), device="cpu", context_factor=1.0))
    for seed in range(1, 8):
        after = before.copy()
        after[BOX.slices] = picture(seed)[BOX.slices]
        whole = cosine(folder, after, PROMPT) - cosine(folder, before, PROMPT)
        parts = [np.ascontiguousarray(image[BOX.slices]) for image in (before, after)]
        part = cosine(folder, parts[1], PROMPT) - cosine(folder, parts[0], PROMPT)
        check = judge.check(asked(before, after))
        assert check.before is not None
        assert check.after is not None
        assert check.after - check.before == pytest.approx(min(whole, part), abs=1e-5)
        where = "the picture" if whole < part else "the surroundings of the edit"
        assert where in check.detail


def test_without_model_or_prompt_it_is_not_measured() -> None:
    nothing = Agreement(AgreementSettings()).check(asked(picture(0), picture(1)))
    assert (nothing.passed, nothing.before) == (True, None)
    assert nothing.detail.startswith("agreement with the prompt was not measured: no model")
    unknown = Agreement(AgreementSettings(model="x")).check(asked(picture(0), picture(1), " "))
    assert unknown.passed
    assert "the prompt is not known" in unknown.detail


def test_the_verdict_says_so_and_the_trace_what_measured(folder: Path) -> None:
    better, worse, gap = two_pictures(folder)

    def verified(before: RgbArray, after: RgbArray, **told: object) -> ImprovementVerifier:
        table = {"verify": {"agreement": told, "fit": _LENIENT}}
        judge = ImprovementVerifier(
            ScriptedPerceiver([SaliencyMap.zeros(H, W)]),
            ScriptedReasoner([("no_defect", 0)]),
            threshold=0.4,
            settings=settings_from(table).verify,
        )
        verdicts.append(judge.verify(asked(before, after, box=Box.of_picture(H, W))))
        return judge

    verdicts: list[Any] = []
    told = {"model": str(folder), "device": "cpu", "margin": 0.5 * gap}
    judge = verified(better, worse, **told)
    verified(worse, better, **told)
    verified(better, worse)
    fell, held, unmeasured = verdicts
    assert [v.accepted for v in verdicts] == [False, True, True]
    assert (fell.checks[-1].name, fell.checks[-1].detail) == ("agreement", fell.reason)
    assert held.checks[-1].before is not None
    assert "not measured" in unmeasured.checks[-1].detail
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert judge.info.weights == {"model.safetensors": f"sha256:{digest}"}


_LENIENT = {"seam_levels": 255.0, "colour": 999.0, "rim": 999.0, "softness": 1e9, "grain": 1e9}


def test_long_prompts_are_cut_not_refused(folder: Path) -> None:
    judge = Agreement(AgreementSettings(model=str(folder), device="cpu"))
    check = judge.check(asked(picture(0), picture(1), PROMPT * 50))
    assert check.before == pytest.approx(
        cosine(folder, *_view(check.detail, 0), PROMPT * 50), abs=1e-5
    )


def _view(detail: str, seed: int) -> tuple[RgbArray]:
    image = picture(seed)
    if "surroundings" not in detail:
        return (image,)
    around = BOX.expand(12).clip(H, W)
    assert around is not None
    return (np.ascontiguousarray(image[around.slices]),)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    request = asked(picture(0), picture(1))
    with pytest.raises(ConfigError, match=r"cannot load the .* 'nobody/nothing'"):
        Agreement(AgreementSettings(model="nobody/nothing")).check(request)
    words = save_words_only(tmp_path / "words")
    with pytest.raises(ConfigError, match="T5Model embeds no pictures"):
        Agreement(AgreementSettings(model=str(words), device="cpu")).check(request)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = save_clip(tmp_path / "clip")
    weights = folder / "model.safetensors"
    torch.save({}, folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ConfigError, match="cannot load the dual encoder"):
        Agreement(AgreementSettings(model=str(folder), device="cpu")).check(
            asked(picture(0), picture(1))
        )


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"device": "gpu"}, {"context_factor": 0.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AgreementSettings(**wrong)
    assert VerifySettings().agreement.model == ""
