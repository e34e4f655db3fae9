"""The page: self-contained, escaped, and showing what happened."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import StopReason
from retoucher.report import PictureReport, Recorder, render_report
from retoucher.report.pictures import crop_uri, overlay, picture_uri, saliency_rgba
from tests.report import runs

EVIL = "<script>alert(1)</script>\" onload='x' <img src=x onerror=alert(2)> &amp; \x1b[31m"
VOID = {"meta", "img", "input", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes, ids, and whether every element is closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report(words: str = "the sign reads HELO", name: str = "sign.png", **trace: str):
    recorder = Recorder(before_rgb=runs.picture())
    for event in runs.events(words):
        recorder.see(event)
    return recorder.report(name, runs.trace(words, **trace), [f"written: {words}"])


def pixels(uri: str | None) -> np.ndarray:
    assert uri is not None
    assert uri.startswith("data:image/webp;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))))


def test_nothing_from_outside_becomes_markup():
    hostile = report(EVIL, name=EVIL, prompt=EVIL)
    plain = report("plain", name="plain", prompt="plain")
    page, reference = Page(render_report([hostile])), Page(render_report([plain]))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in reference.tags]
    names = [(tag, sorted(attributes)) for tag, attributes in page.tags]
    assert names == [(tag, sorted(attributes)) for tag, attributes in reference.tags]
    assert "<script>alert(1)</script>" in page.text  # shown, as words
    assert "\x1b" not in page.text


def test_nothing_from_outside_gets_into_attributes():
    page = Page(render_report([report(EVIL, name=EVIL, prompt=EVIL)] * 2))
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert "alert" not in (value or ""), (tag, name)


def test_the_page_loads_nothing_and_runs_one_script():
    markup = render_report([report(), report()])
    page = Page(markup)
    assert not page.open
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "poster", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/webp", "#"))
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", markup)
    policy = next(m["content"] for m in page.all("meta") if "Content-Security-Policy" in m.values())
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", markup, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_what_happened_is_said():
    text = Page(render_report([report("it reads HELO")])).text
    for words in (
        "no progress: no further repair passed its check",
        "1 repaired",
        "1 rolled back",
        'a sign that says "HELLO"',
        "r1: wrong or misspelled lettering",
        "severity 2: clear",
        "now reads it reads HELO",
        "written: it reads HELO",
        "the attempt, not kept",
        "worse: it reads HELO",
        "Left alone: no defect",
        "every admissible tool was tried and rolled back",
        "regions.threshold",
        "0.123",
    ):
        assert words in text, words


def test_the_slider_can_be_moved_by_keyboard_and_has_a_name():
    sliders = [i for i in Page(render_report([report()])).all("input") if i["type"] == "range"]
    assert len(sliders) == 1
    assert sliders[0]["aria-label"]
    assert "tabindex" not in sliders[0]


def test_every_image_has_a_text_and_layers_have_none():
    for image in Page(render_report([report()])).all("img"):
        assert image.get("alt") is not None


def test_the_whole_picture_is_shown_before_and_after():
    page = Page(render_report([report()]))
    before, after = pixels(page.all("img")[0]["src"]), pixels(page.all("img")[1]["src"])
    box = runs.BOXES[0]
    assert before.shape == after.shape == (240, 320, 3)
    assert np.abs(before.astype(int) - runs.picture()).mean() < 3
    assert after[box.slices].mean() > 250
    assert before[box.slices].mean() < 200


def test_crops_show_kept_and_rolled_back_attempts_with_their_surroundings():
    made = report()
    kept, gone = made.attempts[1, "r1"][0], made.attempts[1, "r2"][0]
    for crop in (kept, gone):
        assert crop.after_rgb is not None
        inside = crop.after_rgb[crop.inner_box.slices]
        assert (inside == 255).all()
        outside = np.ones(crop.after_rgb.shape[:2], bool)
        outside[crop.inner_box.slices] = False
        assert outside.any()
        assert np.array_equal(crop.after_rgb[outside], crop.before_rgb[outside])
    assert np.array_equal(made.after_rgb, runs.events()[-1].image_rgb)  # type: ignore[union-attr]


def test_places_at_the_border_are_shown_without_what_lies_outside():
    recorder = Recorder(before_rgb=runs.picture(20, 30))
    region = Region.from_box(Box(0, 0, 30, 20), id="r1")
    saliency = SaliencyMap(np.full((20, 30), 0.7, np.float32))
    perceived = replace(runs.events()[0], saliency=saliency, regions=(region,))  # type: ignore[type-var]
    recorder.see(perceived)
    assert recorder.report("x", runs.trace()).places[1, "r1"].before_rgb.shape == (20, 30, 3)


def test_a_clean_run_has_no_slider_and_says_so():
    clean = replace(runs.trace(), rounds=(), stop=StopReason.CLEAN, left=())
    picture = runs.picture()
    made = PictureReport(
        name="a.png",
        trace=clean,
        before_rgb=picture,
        after_rgb=picture,
        maps={1: SaliencyMap.zeros(240, 320)},
        places={},
        attempts={},
    )
    page = Page(render_report([made]))
    assert not [i for i in page.all("input") if i["type"] == "range"]
    assert "The result is the input, unchanged." in page.text


def test_several_pictures_have_a_list_of_contents_that_leads_to_them():
    page = Page(render_report([report(name="a.png"), report(name="b.png")]))
    links = [a["href"] for a in page.all("a")]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert links == ["#p1", "#p2"]
    assert {"p1", "p2"} <= ids
    assert len([a for _, a in page.tags if "id" in a]) == len(ids)


def test_a_report_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        render_report([])


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (2000, 2500)])
def test_large_pictures_are_made_fit_for_a_screen(shape: tuple[int, int]):
    image = np.full((*shape, 3), 127, np.uint8)
    assert max(pixels(picture_uri(image)).shape) <= 1600
    assert max(pixels(crop_uri(image)).shape) <= 640


def test_small_crops_are_exact():
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)
    assert np.array_equal(pixels(crop_uri(noise)), noise)


def test_the_map_is_clear_where_nothing_is_and_strong_where_it_peaks():
    rgba = saliency_rgba(SaliencyMap(np.array([[0.0, 0.5, 1.0]], np.float32)))
    assert rgba[0, 0, 3] == 0
    assert rgba[0, 0, 3] < rgba[0, 1, 3] < rgba[0, 2, 3]


def test_the_overlay_leaves_calm_pixels_alone():
    image = runs.picture()
    saliency = np.zeros((240, 320), np.float32)
    saliency[100:120, 100:150] = 0.9
    region = Region.from_box(Box(100, 100, 150, 120), id="r1")
    drawn = overlay(image, SaliencyMap(saliency), [region])
    assert np.array_equal(drawn[130:], image[130:])
    assert (drawn[105:115, 105:145] != image[105:115, 105:145]).any()
