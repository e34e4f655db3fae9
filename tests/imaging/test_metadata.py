"""EXIF edits, infotext, XMP, records."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from retoucher.imaging import exif, infotext, record
from retoucher.imaging.cmyk import cmyk_to_rgb, rgb_to_cmyk
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import luma, to_8_bits
from retoucher.imaging.orientation import to_stored, to_upright
from tests.imaging import makers

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


def with_camera_data(order):
    tags = Image.Exif()
    tags.endian = order
    tags[0x010F], tags[0x0110], tags[0x0112] = "Maker", "Model X", 3
    inner = tags.get_ifd(0x8769)
    inner[0x829A], inner[0x927C] = 0.01, b"maker note" * 5
    tags.get_ifd(0x8825)[1] = "N"
    return tags.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("lengths", [(1,), (30,), (30, 3), (3, 30), (30, 60, 10, 200)])
def test_exif_edits_leave_all_else(order, lengths):
    blob = with_camera_data(order)
    before = exif.parse(blob)
    for length in lengths:
        value = bytes(range(65, 65 + 26))[: length % 26 or 26] * (1 + length // 26)
        blob = exif.set_tag(blob, "exif", exif.USER_COMMENT, exif.UNDEFINED, value)
    after = exif.parse(blob)
    assert after.exif[exif.USER_COMMENT].value == value
    for where in ("image", "exif"):
        for tag, entry in getattr(before, where).items():
            if tag != exif.EXIF_IFD:
                new = getattr(after, where)[tag]
                assert (new.kind, new.count, new.value) == (entry.kind, entry.count, entry.value)
                assert len(entry.value) <= 4 or new.value_at == entry.value_at
    pillow = Image.Exif()
    pillow.load(b"Exif\0\0" + blob)
    assert pillow.get_ifd(0x8769)[0x9286] == value
    assert pillow.get_ifd(0x8825)[1] == "N"
    assert pillow[0x0110] == "Model X"


def test_repeated_edits_do_not_grow_the_file():
    blob = with_camera_data(">")
    sizes = []
    for step in range(20):
        blob = exif.set_tag(blob, "exif", exif.USER_COMMENT, 7, b"x" * (100 + step))
        sizes.append(len(blob))
    assert sizes[-1] - sizes[0] < 30


@pytest.mark.parametrize("junk", [b"", b"II", b"II*\0", b"MM\0*\0\0\0\x08", b"x" * 100])
def test_no_exif_reads_as_nothing(junk):
    assert exif.orientation_of(junk) == 1
    parsed = exif.parse(junk)
    assert parsed is None or not parsed.image


@given(st.binary(max_size=300))
def test_any_bytes_read_without_an_error(junk):
    for magic in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        parsed = exif.parse(magic + junk)
        for tag in (exif.USER_COMMENT, exif.MODEL, exif.ORIENTATION):
            parsed.text(tag)
            parsed.number(tag)
        exif.orientation_of(magic + junk)


@given(TEXTS)
def test_comments_round_trip(text):
    text = text.rstrip("\0").lstrip("\ufeff")
    assert exif.decode_comment(exif.encode_comment("ab " + text), "<") == "ab " + text


def test_comments_as_programs_write_them():
    text = "a café, Steps: 1"
    for value, order in [
        (b"UNICODE\0" + text.encode("utf-16-be"), "<"),  # piexif, whatever the file's order
        (b"UNICODE\0" + text.encode("utf-16-le"), ">"),
        (b"UNICODE\0" + text.encode("utf-16"), ">"),  # with a byte-order mark
        (b"ASCII\0\0\0" + text.encode(), ">"),
        (b"\0" * 8 + text.encode(), ">"),
        (text.encode("latin-1"), ">"),
        (text.encode() + b"\0", ">"),
    ]:
        assert exif.decode_comment(value, order) == text
    assert exif.decode_comment(b"UNICODE\0" + "水墨画".encode("utf-16-be"), ">") == "水墨画"
    edited = exif.encode_comment("x y", b"UNICODE\0" + "abc".encode("utf-16-le"), ">")
    assert edited == b"UNICODE\0" + "x y".encode("utf-16-le")


def test_infotext_with_quoted_values():
    parsed = infotext.parse(makers.INFOTEXT)
    assert parsed.prompt == "a cat, sitting\non a mat"
    assert parsed.negative == "dog,\nrain"
    assert parsed.pairs["Hires"] == "a, b: c"
    assert parsed.pairs["Seed"] == "1"


def test_a_last_line_with_few_pairs_is_prompt():
    parsed = infotext.parse("a cat\nstyle: ink, mood: calm")
    assert parsed.prompt == "a cat\nstyle: ink, mood: calm"
    assert not parsed.pairs
    assert infotext.with_pair("a cat\nstyle: ink, mood: calm", "Key", "v") is None


@given(TEXTS)
def test_pairs_round_trip_and_change_nothing_else(value):
    joined = infotext.with_pair(makers.INFOTEXT, "Agentic Retoucher", value)
    assert joined.startswith(makers.INFOTEXT)
    if value:
        assert infotext.parse(joined).pairs["Agentic Retoucher"] == value
    again = infotext.with_pair(joined, "Agentic Retoucher", "second")
    assert infotext.parse(again).pairs["Agentic Retoucher"] == "second"
    assert again.count("Agentic Retoucher") == 1
    assert infotext.parse(again).prompt == infotext.parse(makers.INFOTEXT).prompt


def test_a_pair_in_the_middle_is_replaced_in_place():
    text = 'p\nSteps: 1, Agentic Retoucher: "a, b", Seed: 3, Size: 1x1\n'
    assert infotext.with_pair(text, "Agentic Retoucher", "c") == (
        "p\nSteps: 1, Agentic Retoucher: c, Seed: 3, Size: 1x1\n"
    )


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "a: " * 300_000, 'ab: "x,' * 100_000, "w " * 400_000, "\\" * 500_000]
)
def test_odd_long_texts_take_linear_time(text):
    infotext.parse(text)
    infotext.with_pair(text, "Agentic Retoucher", "v")


@given(st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS, max_size=3), max_size=5))
def test_records_round_trip_through_xmp(content):
    stamp = record.stamp((), content)
    packet = record.into_xmp(None, stamp.records_json)
    assert record.decode(record.from_xmp(packet)) == (content,)
    second = record.into_xmp(packet, record.stamp((content,), {"n": 2}).records_json)
    assert record.decode(record.from_xmp(second)) == (content, {"n": 2})
    assert second.count(b"<rdf:Description") == 1


def test_only_the_newest_records_are_kept():
    earlier = [{"n": n} for n in range(20)]
    kept = json.loads(record.stamp(earlier, {"n": 20}).records_json)
    assert [entry["n"] for entry in kept] == list(range(13, 21))


@pytest.mark.parametrize("text", [None, "", "x", "[" * 100_000, "5", '["a", {"b": 1}]', "{}"])
def test_stored_records_that_are_not_ours(text):
    pairs = (("agentic_retoucher", text),) if text is not None else ()
    assert Metadata(text=pairs).records in ((), ({"b": 1},), ({},))


def test_xmp_without_a_place_is_left_alone():
    assert record.into_xmp(b"<x:xmpmeta>odd</x:xmpmeta>", "[]") is None


def test_summaries():
    assert record.summary({"summary": " two\nlines "}) == "two lines"
    assert record.summary({"a": 1}) == '{"a":1}'


# --- samples


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 5))
def test_orientation_is_undone_exactly(orientation, height, width):
    stored = np.arange(height * width).reshape(height, width)
    assert np.array_equal(to_stored(to_upright(stored, orientation), orientation), stored)


def test_cmyk_goes_back_to_the_same_rgb():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (20_000, 3)).astype(np.uint8)
    inks = rng.integers(0, 256, (20_000, 4)).astype(np.uint8)
    assert np.array_equal(cmyk_to_rgb(rgb_to_cmyk(rgb, inks, None), None), rgb)


def test_cmyk_without_profile_agrees_with_pillow():
    inks = np.random.default_rng(1).integers(0, 256, (50, 50, 4)).astype(np.uint8)
    pillow = Image.frombytes("CMYK", (50, 50), inks.tobytes()).convert("RGB")
    ours = cmyk_to_rgb(inks, None)
    assert np.abs(ours.astype(int) - np.asarray(pillow)).max() <= 1


def test_a_broken_profile_does_not_count():
    inks = np.zeros((1, 1, 4), np.uint8)
    assert np.array_equal(cmyk_to_rgb(inks, b"junk"), cmyk_to_rgb(inks, None))


def test_depth_and_luma():
    wide = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(to_8_bits(wide), np.round(wide / 257).astype(np.uint8))
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert np.array_equal(luma(grey), np.arange(256))
