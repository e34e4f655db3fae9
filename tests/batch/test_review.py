"""A batch and its review as their user runs them: real worker processes, files in, files out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from retoucher.batch.journal import HOME
from retoucher.cli.main import main
from retoucher.data.ours import read_labels
from retoucher.imaging.files import read_picture
from tests.batch.pictures import CONFIG, DEFECT_BLUE, PLUGIN, blotted, clean, files_in, save

LEFT, RIGHT = (slice(14, 26), slice(8, 20)), (slice(14, 26), slice(40, 52))
"""Rows and columns of the two blots of `double`."""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def retouch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.syspath_prepend(PLUGIN)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


def double() -> NDArray[np.uint8]:
    picture = clean(9)
    for place in (LEFT, RIGHT):
        picture[(*place, 2)] = DEFECT_BLUE
    return picture


def folder(root: Path) -> Path:
    """Two blots with metadata and alpha, one blot, a clean picture."""
    picture = np.dstack([double(), np.full((48, 64), 200, np.uint8)])
    picture[:4, :, 3] = 0
    text = PngInfo()
    text.add_text("parameters", "a cup\nSteps: 20, Sampler: Euler, Seed: 1, CFG scale: 7")
    root.mkdir()
    Image.fromarray(picture).save(root / "double.png", pnginfo=text)
    save(root / "s" / "<b>.png", blotted(1))
    save(root / "clean.png", clean(2))
    return root


def shown(out: Path) -> dict[str, dict[str, Any]]:
    """The pictures of the review page, as its script gets them."""
    page = (out / HOME / "review.html").read_text("utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert data is not None
    pictures = {picture["file"]: picture for picture in json.loads(data[1])["pictures"]}
    for picture in pictures.values():
        for repair in (r for place in picture["places"] for r in place["repairs"]):
            assert (out / HOME / repair["before"].replace("%3C", "<").replace("%3E", ">")).is_file()
    return pictures


def decide(path: Path, *pictures: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"schema_version": 1, "pictures": pictures}))
    return path


def said(picture: dict[str, Any], *verdicts: str, **more: Any) -> dict[str, Any]:
    places = [
        {"id": place["id"], "verdict": verdict}
        for place, verdict in zip(picture["places"], verdicts, strict=True)
    ]
    return {"file": picture["file"], "run": picture["run"], "places": places, **more}


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_rejected_repair_gets_the_inputs_pixels_back(tmp_path: Path, retouch: Command):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    batch = ("batch", source, out, "--config", CONFIG, "--workers", 1, "--review", "--traces")
    code, words, complaints = retouch(*batch)
    assert code == 0, complaints
    assert "review.html" in words
    pictures = shown(out)
    assert set(pictures) == {"double.png", "s/<b>.png"}
    assert [place["state"] for place in pictures["double.png"]["places"]] == ["repaired"] * 2
    first = files_in(out)
    before, both = pixels(source / "double.png"), pixels(out / "double.png")
    boxes = [place["box"] for place in pictures["double.png"]["places"]]
    rejected = next(i for i, box in enumerate(boxes) if box[0] < 20)  # the left one
    verdicts = ["accept", "accept"]
    verdicts[rejected] = "reject"

    file = decide(tmp_path / "d.json", said(pictures["double.png"], *verdicts))
    code, words, complaints = retouch("review", source, out, file)
    assert code == 0, complaints
    assert "1 repair accepted, 1 rejected" in words
    result = pixels(out / "double.png")
    x0, y0, x1, y1 = boxes[rejected]
    assert (result[y0:y1, x0:x1] == before[y0:y1, x0:x1]).all()
    outside = np.ones(result.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert (result[outside] == both[outside]).all()
    assert (both[(*LEFT, 2)] != before[(*LEFT, 2)]).any()
    with Image.open(out / "double.png") as image:
        assert image.info["parameters"].startswith("a cup\n")
    trace = json.loads((out / HOME / "traces" / "double.png.json").read_text())
    reasons = [edit["verdict"]["reason"] for edit in trace["rounds"][0]["edits"]]
    assert reasons[rejected].startswith("rejected by the user")
    assert "1 accept, 1 reject" in (out / HOME / "summary.csv").read_text().replace('"', "")
    assert shown(out)["double.png"]["review"]["places"][rejected]["verdict"] == "reject"

    # The batch knows its reviewed result: nothing is done again, nothing is lost.
    reviewed = (out / "double.png").read_bytes()
    code, words, _ = retouch(*batch)
    assert "0 now; 3 done before" in words
    assert (out / "double.png").read_bytes() == reviewed

    # Decided anew: all is taken back, and the file is the input's; then all is kept.
    decide(file, said(pictures["double.png"], "reject", "no_defect"))
    assert retouch("review", source, out, file)[0] == 0
    assert (out / "double.png").read_bytes() == (source / "double.png").read_bytes()
    decide(file, said(pictures["double.png"], "accept", "accept"))
    assert retouch("review", source, out, file, "--quiet")[0] == 0
    assert (out / "double.png").read_bytes() == first["double.png"]
    assert (out / "s" / "<b>.png").read_bytes() == first["s/<b>.png"]
    assert not (out / HOME / "staging").exists()


def test_what_is_said_becomes_training_data(tmp_path: Path, retouch: Command):
    source, out, kept = folder(tmp_path / "in"), tmp_path / "out", tmp_path / "feedback"
    assert retouch("batch", source, out, "--config", CONFIG, "--workers", 1, "--review")[0] == 0
    pictures = shown(out)
    missed = {
        "category": "hand_shape",
        "description": "a thumb too many",
        "outline_xy": [[4, 38], [14, 38], [14, 46], [4.4, 46]],
    }
    double = said(pictures["double.png"], "reject", "no_defect", missed=[missed])
    double["places"][0] |= {"category": "face_feature", "description": "an eye too low"}
    single = said(pictures["s/<b>.png"], "accept")
    file = decide(tmp_path / "d.json", double, single)
    assert retouch("review", source, out, file)[0] == 0
    assert not kept.exists(), "kept without being asked to"
    for _ in range(2):  # the second time in place of the first
        assert retouch("review", source, out, file, "--feedback", kept)[0] == 0
    assert len(list(kept.iterdir())) == 2

    code, _, complaints = retouch("data", "export", kept, tmp_path / "labels")
    assert code == 0, complaints
    samples = {sample.prompt: sample for sample in read_labels(tmp_path / "labels")}
    sample = samples["a cup"]
    assert (sample.load_rgb() == read_picture(source / "double.png").image_rgb).all()
    assert [(r.category, r.description) for r in sample.regions] == [
        ("face_feature", "an eye too low"),
        ("hand_shape", "a thumb too many"),
    ]
    assert sample.regions[1].box.as_xyxy() == (4, 38, 15, 47)
    assert len(sample.clean_parts) == 1
    assert [r.category for r in samples[""].regions] == ["object_texture"]
    lines = (tmp_path / "labels" / "outcomes.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["outcome"] for line in lines) == [
        "accepted", "rejected", "rejected",
    ]  # fmt: skip
    assert retouch("data", "export", kept, tmp_path / "coco", "--format", "coco")[0] == 0


def test_places_that_were_left(tmp_path: Path, retouch: Command):
    source, out, kept = folder(tmp_path / "in"), tmp_path / "out", tmp_path / "feedback"
    batch = ("batch", source, out, "--config", CONFIG, "--workers", 1, "--review", "--skip")
    assert retouch(*batch, "object")[0] == 0
    picture = shown(out)["double.png"]
    assert [place["state"] for place in picture["places"]] == ["left", "left"]
    file = decide(tmp_path / "d.json", said(picture, "defect", "no_defect"))
    code, words, _ = retouch("review", source, out, file, "--feedback", kept, "--json")
    assert code == 0
    record = json.loads(words)
    assert len(record["left"]) == 1, "what is right is not left"
    (stored,) = kept.glob("*/feedback.json")
    regions = json.loads(stored.read_text())["regions"]
    assert [(r["wanted"], r["said"]["category"]) for r in regions] == [
        (True, "object_texture"),
        (False, "no_defect"),
    ]
    assert (out / "double.png").read_bytes() == (source / "double.png").read_bytes()


def test_what_does_not_fit_is_said_and_changes_nothing(tmp_path: Path, retouch: Command):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    assert retouch("review", source, out, tmp_path / "d.json")[0] == 2
    batch = ("batch", source, out, "--config", CONFIG, "--workers", 1, "--review")
    assert retouch(*batch)[0] == 0
    picture = shown(out)["double.png"]
    good = said(shown(out)["s/<b>.png"], "reject")
    before = files_in(out)
    for change, words in (
        ({"run": "0" * 16}, "was done again since"),
        ({"file": "nobody.png"}, "is not in IN"),
        ({"file": "clean.png"}, "nothing was kept for a review"),
        ({"places": [{"id": "9.r9", "verdict": "accept"}]}, "has no place 9.r9"),
        ({"places": [{"id": picture["places"][0]["id"], "verdict": "defect"}]}, "was repaired"),
        ({"missed": [{"category": "unknown", "outline_xy": [[-9, -9], [-5, -9], [-5, -5]]}]},
         "lies outside the picture"),
    ):  # fmt: skip
        file = decide(tmp_path / "d.json", said(picture, "reject", "reject") | change, good)
        code, _, complaints = retouch("review", source, out, file, "--quiet")
        assert code == 1
        assert words in complaints
        assert (out / "double.png").read_bytes() == before["double.png"], words
        assert (out / "s" / "<b>.png").read_bytes() == (source / "s" / "<b>.png").read_bytes()

    for text, words in (
        ("{", "JSON"),
        (json.dumps({"pictures": [good, good]}), "named twice"),
        (json.dumps({"pictures": [good | {"places": [{"id": "1.r1", "verdict": "maybe"}]}]}),
         "pictures.0.places.0.verdict"),
        (json.dumps({"pictures": [good | {"missed": [{"category": "hand", "outline_xy": []}]}]}),
         "unknown category 'hand'"),
    ):  # fmt: skip
        (tmp_path / "d.json").write_text(text)
        code, _, complaints = retouch("review", source, out, tmp_path / "d.json")
        assert code == 2
        assert words in complaints

    # Done again with other settings: decisions of the old run are refused.
    assert retouch(*batch, "--skip", "object")[0] == 0
    file = decide(tmp_path / "d.json", said(picture, "reject", "reject"))
    code, _, complaints = retouch("review", source, out, file)
    assert code == 1
    assert "was done again since" in complaints
    assert retouch(*batch[:-1])[0] == 0  # and without a review, nothing of it is left
    assert not list((out / HOME / "review").rglob("*.png"))
