"""PNG: every sample, chunk and byte outside the repairs stays as it was."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from retoucher.imaging.files import read_picture, read_record, write_picture
from retoucher.imaging.native import alpha_of
from tests.imaging.makers import (
    INFOTEXT,
    PNG_KINDS,
    chunk,
    encoded,
    exif,
    png_chunks,
    scene,
    with_box,
    write_png,
)

CHANNELS = {"L": 0, "P": 0, "LA": 2, "RGB": 3, "RGBA": 4}
RECORD = {"summary": "1 region retouched", "edits": [1]}
EXTRA = [
    (b"gAMA", struct.pack(">I", 45455)),
    (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    (b"tIME", bytes([7, 234, 1, 2, 3, 4, 5])),
    (b"tEXt", b"Title\0caf\xe9"),
    (b"zTXt", b"Long\0\0" + zlib.compress(b"words " * 50)),
    (b"iTXt", b"Note\0\0\0de\0Notiz\0" + "größe 水".encode()),
    (b"prVt", b"an unknown chunk, safe to copy"),
]


def levels(rng, mode, bits, height, width):
    shape = (height, width, CHANNELS[mode]) if CHANNELS[mode] else (height, width)
    values = rng.integers(0, 1 << bits, shape)
    if mode in ("LA", "RGBA"):  # fully and partly transparent pixels, with colours below
        values[..., -1] = rng.choice([0, 1, (1 << bits) - 1], shape[:2])
    return values


def spread(values, mode, bits):
    return values * (255 // ((1 << bits) - 1)) if bits < 8 and mode == "L" else values


@st.composite
def pictures(draw):
    mode, bits = draw(st.sampled_from(PNG_KINDS))
    height, width = draw(st.integers(1, 21)), draw(st.integers(1, 21))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    raw = levels(rng, mode, bits, height, width)
    before = list(EXTRA)
    if mode == "P":
        size = draw(st.integers(int(raw.max()) + 1, 1 << bits))
        before.append((b"PLTE", rng.integers(0, 256, size * 3, dtype=np.uint8).tobytes()))
        if draw(st.booleans()):
            alphas = rng.choice([0, 128, 255], size).astype(np.uint8)
            before.append((b"tRNS", alphas.tobytes()))
    elif mode in ("L", "RGB") and draw(st.booleans()):
        key = raw[0, 0].reshape(-1)
        before.append((b"tRNS", struct.pack(f">{len(key)}H", *map(int, key))))
    orientation = draw(st.integers(1, 8))
    data = write_png(
        raw,
        mode,
        bits,
        before=before,
        after=[(b"eXIf", exif(orientation)), (b"tEXt", b"parameters\0" + INFOTEXT.encode())],
        interlaced=draw(st.booleans()),
        tail=draw(st.sampled_from([b"", b"trailing bytes"])),
    )
    shown = (width, height) if orientation > 4 else (height, width)
    y0, x0 = draw(st.integers(0, shown[0] - 1)), draw(st.integers(0, shown[1] - 1))
    y1, x1 = draw(st.integers(y0 + 1, shown[0])), draw(st.integers(x0 + 1, shown[1]))
    return mode, bits, raw, orientation, data, (x0, y0, x1, y1)


@settings(max_examples=150, deadline=None)
@given(pictures(), st.integers(0, 1000))
def test_only_the_changed_box_changes(tmp_path_factory, made, seed):
    mode, bits, raw, orientation, data, box = made
    picture = read_picture(data)
    assert np.array_equal(picture.native.samples, spread(raw, mode, bits))
    assert picture.orientation == orientation
    expected_size = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size
    assert picture.image_rgb.shape[1::-1] == expected_size

    result = with_box(picture.image_rgb, box, seed)
    path = tmp_path_factory.mktemp("png") / "out.png"
    report = write_picture(path, picture, result, RECORD)
    written = read_picture(path)

    assert report.exact_outside
    assert (written.mode, written.native.bits) == (picture.mode, bits)
    outside = np.ones(result.shape[:2], bool)
    outside[box[1] : box[3], box[0] : box[2]] = False
    mark = np.repeat(outside[..., None], 3, axis=2).astype(np.uint8) * 255
    # The same marks in stored orientation, by Pillow: the transpose that undoes the orientation.
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = Image.fromarray(mark)
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    kept = np.asarray(stored)[..., 0] > 0
    assert np.array_equal(written.native.samples[kept], picture.native.samples[kept])
    assert np.array_equal(written.image_rgb[outside], picture.image_rgb[outside])

    alpha, alpha_after = alpha_of(picture.native), alpha_of(written.native)
    if alpha is not None:
        if alpha_after is None:  # a translucent palette entry that no pixel used took a new colour
            alpha_after = np.full_like(alpha, 255)
        assert np.array_equal(alpha, alpha_after)
        hidden = alpha == 0
        assert np.array_equal(written.native.samples[hidden], picture.native.samples[hidden])
    assert_chunks_kept(data, path.read_bytes())
    if mode in ("RGB", "RGBA") and not picture.native.colour_key:
        visible = np.ones_like(kept) if alpha is None else alpha > 0
        again = np.asarray(stored_of(written.image_rgb, undo))
        assert np.array_equal(again[visible], np.asarray(stored_of(result, undo))[visible])


def stored_of(rgb, undo):
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return image if undo is None else image.transpose(Image.Transpose(undo))


def assert_chunks_kept(before, after):
    pixel_chunks = (b"IHDR", b"IDAT", b"PLTE", b"tRNS", b"IEND")
    ours = b"agentic_retoucher\0"

    def others(data):
        return [
            (kind, body)
            for kind, body in png_chunks(data)
            if kind not in pixel_chunks
            and not body.startswith(ours)
            and not body.startswith(b"parameters\0")
        ]

    assert others(before) == others(after)
    parameters = next(b for _, b in png_chunks(after) if b.startswith(b"parameters\0"))
    assert parameters.startswith(b"parameters\0" + INFOTEXT.encode())
    assert after[after.rfind(b"IEND") :] == before[before.rfind(b"IEND") :]


def test_16_bits_agree_with_opencv(tmp_path):
    wide = np.random.default_rng(0).integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    data = cv2.imencode(".png", wide)[1].tobytes()
    picture = read_picture(data)
    assert picture.mode == "RGB;16"
    assert np.array_equal(picture.native.samples, wide[..., ::-1])
    assert np.array_equal(picture.image_rgb, np.round(wide[..., ::-1] / 257).astype(np.uint8))
    result = picture.image_rgb.copy()
    result[2:4, 2:4] = 200
    write_picture(tmp_path / "o.png", picture, result)
    again = cv2.imread(str(tmp_path / "o.png"), cv2.IMREAD_UNCHANGED)
    changed = np.zeros(wide.shape[:2], bool)
    changed[2:4, 2:4] = True
    assert np.array_equal(again[~changed], wide[~changed])
    assert np.all(np.abs(again[changed].astype(int) - 200 * 257) <= 128)


def test_pillow_sees_the_same_pixels(tmp_path):
    for mode in ("L", "LA", "RGB", "RGBA", "P"):
        image = Image.fromarray(scene()).convert(mode)
        picture = read_picture(encoded(image, "PNG"))
        result = with_box(picture.image_rgb, (10, 10, 20, 20))
        write_picture(tmp_path / "o.png", picture, result)
        with Image.open(tmp_path / "o.png") as again:
            assert again.mode == mode
            keep = np.ones((60, 90), bool)
            keep[10:20, 10:20] = False
            assert np.array_equal(np.asarray(again)[keep], np.asarray(image)[keep])


def test_transparent_pixels_are_seen_white_and_left_alone(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0] = 77
    rgba[:2, :, 3] = 255
    picture = read_picture(encoded(Image.fromarray(rgba), "PNG"))
    assert np.all(picture.image_rgb[2:] == 255)
    assert np.all(picture.image_rgb[:2] == (77, 0, 0))
    report = write_picture(tmp_path / "o.png", picture, np.full((4, 4, 3), 9, np.uint8))
    again = np.asarray(Image.open(tmp_path / "o.png"))
    assert np.array_equal(again[2:], rgba[2:])
    assert np.all(again[:2] == (9, 9, 9, 255))
    assert any("transparent" in note for note in report.notes)


def test_palette_takes_new_colours_into_free_slots(tmp_path):
    image = Image.fromarray(scene(64, 64)).quantize(100)
    picture = read_picture(encoded(image, "PNG"))
    result = picture.image_rgb.copy()
    colours = np.random.default_rng(3).integers(0, 256, (100, 3))
    result[10:20, 10:20] = colours.reshape(10, 10, 3)
    write_picture(tmp_path / "o.png", picture, result)
    assert np.array_equal(read_picture(tmp_path / "o.png").image_rgb, result)


def test_a_full_palette_gives_up_colours_that_only_the_repair_replaces(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(ramp)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    picture = read_picture(encoded(image, "PNG"))
    result = with_box(picture.image_rgb, (4, 4, 12, 12))
    write_picture(tmp_path / "o.png", picture, result)
    assert np.array_equal(read_picture(tmp_path / "o.png").image_rgb, result)


def test_full_palette_takes_the_nearest_colour(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 32)
    image = Image.fromarray(ramp)
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    picture = read_picture(encoded(image, "PNG"))
    result = picture.image_rgb.copy()
    result[0, 0] = (100, 103, 100)
    write_picture(tmp_path / "o.png", picture, result)
    assert tuple(read_picture(tmp_path / "o.png").image_rgb[0, 0]) == (101, 101, 101)


def test_a_new_colour_never_becomes_transparent_by_accident(tmp_path):
    raw = np.full((3, 3, 3), 50, np.uint8)
    data = write_png(raw, "RGB", 8, before=[(b"tRNS", struct.pack(">3H", 9, 9, 9))])
    picture = read_picture(data)
    result = picture.image_rgb.copy()
    result[1, 1] = 9
    write_picture(tmp_path / "o.png", picture, result)
    again = read_picture(tmp_path / "o.png")
    assert alpha_of(again.native).min() == 255
    assert abs(int(again.image_rgb[1, 1].sum()) - 27) == 1


def test_chunks_that_describe_old_pixels_are_left_out_and_named(tmp_path):
    data = write_png(
        np.zeros((2, 2), int), "L", 8, before=[(b"caBX", b"signed"), (b"prVt", b"keep")]
    )
    picture = read_picture(data)
    report = write_picture(tmp_path / "o.png", picture, picture.image_rgb + np.uint8(9))
    kinds = [kind for kind, _ in png_chunks((tmp_path / "o.png").read_bytes())]
    assert b"caBX" not in kinds
    assert b"prVt" in kinds
    assert any("caBX" in note for note in report.notes)


def test_nothing_changed_is_a_copy_without_a_record(tmp_path):
    data = write_png(np.zeros((2, 2), int), "L", 8, interlaced=True, before=[(b"caBX", b"x")])
    picture = read_picture(data)
    report = write_picture(tmp_path / "o.png", picture, picture.image_rgb.copy(), RECORD)
    assert (tmp_path / "o.png").read_bytes() == data
    assert (report.exact_outside, report.notes) == (True, ())


def test_still_apng_is_read_and_animation_refused():
    control = chunk(b"acTL", struct.pack(">II", 1, 0))
    data = write_png(np.zeros((2, 2), int), "L", 8)
    still = data[:33] + control + data[33:]
    assert read_picture(still).mode == "L"


def test_records_add_up_and_the_key_stands_once(tmp_path):
    data = write_png(
        np.zeros((4, 4), int), "L", 8, before=[(b"tEXt", b"parameters\0" + INFOTEXT.encode())]
    )
    path = tmp_path / "p.png"
    path.write_bytes(data)
    for step in range(1, 4):
        picture = read_picture(path)
        result = picture.image_rgb.copy()
        result[0, 0] = step * 10
        write_picture(path, picture, result, {"summary": f"run {step}", "n": step})
    picture = read_picture(path)
    assert read_record(picture) == {"summary": "run 3", "n": 3}
    assert [record["n"] for record in picture.metadata.records] == [1, 2, 3]
    keys = [body.split(b"\0")[0] for kind, body in png_chunks(picture.raw) if kind[1:] == b"TXt"]
    assert keys.count(b"agentic_retoucher") == 1
    assert picture.metadata.get("parameters") == INFOTEXT + ", Agentic Retoucher: run 3"


@pytest.mark.parametrize(
    "parameters",
    ['{"sui_image_params": {"prompt": "x, y: z"}}', "just a prompt", "[1, 2]"],
)
def test_other_parameters_stay_as_they_are(tmp_path, parameters):
    data = write_png(
        np.zeros((4, 4), int), "L", 8, before=[(b"tEXt", b"parameters\0" + parameters.encode())]
    )
    picture = read_picture(data)
    write_picture(tmp_path / "o.png", picture, picture.image_rgb + np.uint8(1), RECORD)
    again = read_picture(tmp_path / "o.png")
    assert again.metadata.get("parameters") == parameters
    assert read_record(again) == RECORD
