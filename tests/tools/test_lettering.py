"""The re-lettering tool: contract, and what its lettering looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageFont

from retoucher.agents import EditRequest
from retoucher.errors import Cancelled, ToolError
from retoucher.lettering.reading import TextReader
from retoucher.testing import assert_tool_contract
from retoucher.tools.lettering import LetteringTool, in_case_of
from retoucher.tools.typography.faces import faces, set_line, supports
from tests.tools.scenes import lettered, misspelled, request, surface

TOOL = LetteringTool()


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def _letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


CASES = {
    "plain": ("COFEE", "COFFEE", {"ink": (25, 30, 90)}),
    "light on dark, turned": (
        "Resturant",
        "Restaurant",
        {"kind": "graded", "ink": (250, 245, 210), "turn": -0.1},
    ),
    "perspective": ("LIBARRY", "LIBRARY", {"ink": (150, 20, 25), "turn": 0.08, "squeeze": 0.12}),
    "texture": ("BAKREY", "BAKERY", {"kind": "brick", "ink": (250, 240, 230)}),
    "soft and small": ("Adventrue", "Adventure", {"size_px": 24, "blur_px": 0.9}),
}


@pytest.mark.parametrize("name", CASES)
def test_intended_word_is_read_in_the_old_place_and_colour(name: str, reader: TextReader) -> None:
    wrong, right, look = CASES[name]
    scene = lettered(wrong, **look)
    asked = request(scene, wrong, right)
    out = TOOL.edit(asked)

    assert out.dtype == np.uint8
    assert out.shape == scene.image.shape
    assert np.array_equal(out[~asked.mask_hw], scene.image[~asked.mask_hw])
    read, _ = reader.reread(out, scene.quad_xy)
    assert _letters(read) == _letters(right)
    # The darkest (or lightest) fifth of what lies in the quad is ink, before and after.
    changed = np.abs(out.astype(int) - scene.bare).sum(-1)
    inked = changed >= np.quantile(changed[asked.mask_hw], 0.93)
    before = np.abs(scene.image.astype(int) - scene.bare).sum(-1)
    old = before >= np.quantile(before[asked.mask_hw], 0.93)
    difference = np.median(out[inked], axis=0) - np.median(scene.image[old], axis=0)
    assert np.abs(difference).max() < 25


@pytest.mark.parametrize("kind", ["plain", "graded", "brick"])
def test_no_old_ink_is_left_where_the_shorter_text_does_not_reach(kind: str) -> None:
    scene = lettered("HHOOTTEELLL", kind=kind, ink=(250, 120, 60))
    out = TOOL.edit(request(scene, "HHOOTTEELLL", "HOTEL"))
    left = round(scene.quad_xy[:, 0].min())
    end = left + round(0.12 * float(np.ptp(scene.quad_xy[:, 0])))
    strip = np.s_[:, left - 5 : end]
    before, after = (np.abs(x[strip].astype(int) - scene.bare[strip]) for x in (scene.image, out))
    inked = before.sum(-1) > 120
    assert inked.sum() > 100
    assert after[inked].mean() < 0.2 * before[inked].mean()


def test_size_and_place_are_kept() -> None:
    scene = lettered("MUSEM", ink=(10, 10, 10))
    out = TOOL.edit(request(scene, "MUSEM", "MUSEUM"))
    rows_before, rows_after = (
        np.flatnonzero((np.abs(x.astype(int) - scene.bare).sum(-1) > 150).sum(1) > 2)
        for x in (scene.image, out)
    )
    assert abs(rows_before[0] - rows_after[0]) <= 2
    assert abs(rows_before[-1] - rows_after[-1]) <= 2


@pytest.mark.parametrize("style", ["Tinos Bold", "Anton Regular"])
def test_a_shipped_face_is_recognised(style: str) -> None:
    from retoucher.tools.typography import match
    from retoucher.tools.typography.frame import frame_of
    from retoucher.tools.typography.matte import segment
    from retoucher.tools.typography.old import cut

    face = next(f for f in faces() if f.name == style)
    from importlib import resources

    path = resources.files("retoucher.tools") / "fonts" / face.file
    scene = lettered("GARDEN", font=ImageFont.truetype(str(path), 48 * 3))
    frame = frame_of(scene.quad_xy)
    matte = segment(frame.view(scene.image.astype(np.float32)), frame, "GARDEN")
    found = match.match(cut(matte, frame.zoom, "GARDEN"), "GARDEN", "GARDENS")
    assert found.face.name == style


def test_two_texts_in_one_request(reader: TextReader) -> None:
    above, below = lettered("OPNE", size_px=40), lettered("DIALY", size_px=40)
    image = np.concatenate([above.image, below.image])
    shift = np.array([0.0, above.image.shape[0]])
    one = request(above, "OPNE", "OPEN")
    both = replace(
        one,
        crop_rgb=image,
        mask_hw=np.concatenate([one.mask_hw, request(below, "DIALY", "DAILY").mask_hw]),
        crop_box=one.crop_box.union(one.crop_box.shift(0, above.image.shape[0])),
        diagnosis=misspelled(
            (above.quad_xy, "OPNE", "OPEN"), (below.quad_xy + shift, "DIALY", "DAILY")
        ),
    )
    out = TOOL.edit(both)
    assert reader.reread(out, above.quad_xy)[0] == "OPEN"
    assert reader.reread(out, below.quad_xy + shift)[0] == "DAILY"


def test_same_seed_same_bytes_and_coordinates_are_the_pictures() -> None:
    scene = lettered("WELCOM", kind="brick", ink=(240, 230, 90))
    asked = request(scene, "WELCOM", "WELCOME", seed=7)
    first, again = TOOL.edit(asked), TOOL.edit(asked)
    assert np.array_equal(first, again)
    # The same crop lying elsewhere in the picture, with the quad in the picture's coordinates.
    moved = replace(
        asked,
        crop_box=asked.crop_box.shift(1000, 300),
        diagnosis=misspelled((scene.quad_xy + np.array([1000, 300]), "WELCOM", "WELCOME")),
    )
    assert np.abs(TOOL.edit(moved).astype(int) - first).mean() < 0.5


def test_contract() -> None:
    scene = lettered("OPNE", size_px=40)
    crop = np.ascontiguousarray(scene.image[40:180, 60:360])
    quad = scene.quad_xy - [60, 40]
    assert_tool_contract(TOOL, diagnosis=misspelled((quad, "OPNE", "OPEN")), crop_rgb=crop)


def test_cancel_stops() -> None:
    with pytest.raises(Cancelled):
        TOOL.edit(replace(request(lettered("OPNE"), "OPNE", "OPEN"), cancelled=lambda: True))


def _refused(asked: EditRequest) -> str:
    with pytest.raises(ToolError) as caught:
        TOOL.edit(asked)
    return str(caught.value)


def test_refusals_name_the_reason() -> None:
    scene = lettered("OPNE")
    asked = request(scene, "OPNE", "OPEN")
    nothing = replace(asked.diagnosis, evidence=())
    assert "should read" in _refused(replace(asked, diagnosis=nothing))
    half = asked.mask_hw.copy()
    half[:, half.shape[1] // 2 :] = False
    assert "mask leaves out" in _refused(replace(asked, mask_hw=half))
    bare = np.ascontiguousarray(surface("plain"))
    assert "another tool" in _refused(replace(asked, crop_rgb=bare))
    assert "no shipped face" in _refused(request(scene, "OPNE", "ОТКРЫТО"))
    assert "another tool" in _refused(request(scene, "OPNE", "OPEN FROM NINE TO FIVE EVERY DAY"))
    tiny = replace(scene, quad_xy=np.array([[10.0, 10], [30, 10], [30, 15], [10, 15]]))
    assert "too small" in _refused(request(tiny, "x", "y"))
    broken = misspelled((np.zeros((2, 2)), "a", "b"))
    assert "quad_xy" in _refused(replace(asked, diagnosis=broken))


@pytest.mark.parametrize(
    ("wanted", "read", "expected"),
    [
        ("police", "POLCE", "POLICE"),
        ("police", "Polce", "Police"),
        ("Police", "polce", "Police"),
        ("NASA", "nsa", "NASA"),
        ("open", "", "open"),
    ],
)
def test_capitals_follow_the_old_lettering(wanted: str, read: str, expected: str) -> None:
    assert in_case_of(wanted, read) == expected


def test_every_face_sets_what_it_claims_to() -> None:
    plain, accented = "Hamburg & 129, (OK)?", "Ångström “Façade” Łódź – 100 €"
    for face in faces():
        assert supports(face, plain), face.name
        for text in filter(lambda t: supports(face, t), (plain, accented)):
            line = set_line(face, text, 40.0)
            inked = [g.any() for g, c in zip(line.glyphs, text, strict=True) if not c.isspace()]
            assert all(inked), f"{face.name}: {text}"
    assert sum(supports(face, accented) for face in faces()) >= 20
    assert not any(supports(face, "日本") for face in faces())
