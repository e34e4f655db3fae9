"""Bad files end in one clear line; outputs are whole or not there."""

import os
import stat
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from retoucher.errors import InputError, OutputError
from retoucher.imaging import files
from retoucher.imaging.files import read_picture, write_picture
from retoucher.imaging.limits import Limits
from tests.imaging.makers import chunk, encoded, exif, png_chunks, scene, with_box, write_png

IMAGE = Image.fromarray(scene())
FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"]
if features.check("avif"):
    FORMATS.append("AVIF")
SAMPLES = {name: encoded(IMAGE, name) for name in FORMATS}


def header_only_png(width, height):
    """A PNG of a few bytes that claims to be large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def resized_jpeg(side):
    """A small JPEG that claims to be large; libjpeg alone would make it grey."""
    data = bytearray(SAMPLES["JPEG"])
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def with_frames(file_format):
    frames = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    return encoded(frames[0], file_format, save_all=True, append_images=frames[1:])


BAD = {
    "empty": (b"", "empty"),
    "text": (b"This is not a picture.\n", "not a picture"),
    "zero": (header_only_png(0, 5), "no pixels"),
    "bomb": (header_only_png(29_000, 29_000), "million"),
    "wide": (header_only_png(30_000, 10), "at most 29999"),
    "no pixels": (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b""),
        "no pixels",
    ),
    "signature only": (b"\x89PNG\r\n\x1a\n", "truncated"),
    "bad header": (write_png(np.zeros((2, 2), int), "L", 8).replace(b"IHDR", b"IHDX"), "truncated"),
    "checksum": (flipped(SAMPLES["PNG"], 20), "corrupt|pixels|side"),
    "data checksum": (flipped(SAMPLES["PNG"], len(SAMPLES["PNG"]) // 2), "checksum"),
    "too few rows": (header_only_png(500, 500), "truncated or corrupt"),
    "outside palette": (
        write_png(np.full((2, 2), 9), "P", 8, before=[(b"PLTE", bytes(9))]),
        "palette",
    ),
    "no palette": (write_png(np.zeros((2, 2), int), "P", 8), "palette"),
    "critical chunk": (
        write_png(np.zeros((2, 2), int), "L", 8, before=[(b"CgBI", b"x")]),
        "CgBI",
    ),
    "animated png": (with_frames("PNG"), "animated"),
    "animated webp": (with_frames("WEBP"), "animated"),
    "animated gif": (with_frames("GIF"), "animated"),
    "pages": (with_frames("TIFF"), "several pages"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(100), "HEIC"),
    "big tiff": (b"II+\0\x08\0\0\0" + bytes(40), "BigTIFF"),
    "float tiff": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "exact"),
    "tiff magic": (b"II*\0", "truncated"),
    "tiff stub": (b"II*\0\xff\xff\0\0", "truncated"),
    "jpeg stub": (b"\xff\xd8\xff\xe0\0\x10JF", "truncated"),
    "jpeg of little data": (resized_jpeg(14_000), "too little data"),
    "webp stub": (b"RIFF\xff\xff\0\0WEBPVP8 ", "truncated"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, name):
    data, words = BAD[name]
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_picture(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 400


def test_missing_folder_device_and_odd_names(tmp_path):
    for source, words in [
        (tmp_path / "none.png", "no such file"),
        (tmp_path, "folder"),
        ("a\0b.png", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ]:
        with pytest.raises(InputError, match=words):
            read_picture(source)
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="regular file"):
        read_picture(pipe)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(SAMPLES["PNG"])
    path.chmod(0)
    with pytest.raises(InputError, match="permission"):
        read_picture(path)


def test_denied_reading_is_said(tmp_path, monkeypatch):
    path = tmp_path / "p.png"
    path.write_bytes(SAMPLES["PNG"])

    def denied(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", denied)
    with pytest.raises(InputError, match="no permission"):
        read_picture(path)


def test_limits_are_the_callers(tmp_path):
    for name in FORMATS:
        for limits in (Limits(max_side_px=89), Limits(max_pixels=5399)):
            with pytest.raises(InputError, match="at most"):
                read_picture(SAMPLES[name], limits=limits)
        assert read_picture(SAMPLES[name], limits=Limits(max_pixels=5400)).format == name


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_damaged_files_never_raise_anything_else(name, draw):
    data = SAMPLES[name]
    if draw.draw(st.booleans(), label="cut"):
        data = data[: draw.draw(st.integers(0, len(data) - 1))]
    else:
        damaged = bytearray(data)
        for _ in range(draw.draw(st.integers(1, 6))):
            at = draw.draw(st.integers(0, min(len(data) - 1, 700)))
            damaged[at] = draw.draw(st.integers(0, 255))
        data = bytes(damaged)
    try:
        picture = read_picture(data, limits=Limits(max_pixels=10_000_000))
    except InputError as error:
        lines = str(error).splitlines()
    else:
        lines = [picture.format]
        assert picture.image_rgb.dtype == np.uint8
    assert len(lines) == 1


def test_text_that_unpacks_without_end_is_not_unpacked(tmp_path):
    huge = zlib.compress(bytes(60_000_000), 9)
    data = write_png(
        np.zeros((2, 2), int),
        "L",
        8,
        before=[(b"zTXt", b"parameters\0\0" + huge), (b"iCCP", b"x\0\0" + huge)],
    )
    picture = read_picture(data)
    assert picture.metadata.text == ()
    assert picture.metadata.icc is None
    write_picture(tmp_path / "o.png", picture, picture.image_rgb + np.uint8(1), {"a": 1})
    kept = dict(png_chunks((tmp_path / "o.png").read_bytes()))
    assert kept[b"zTXt"] == b"parameters\0\0" + huge


# --- output


@pytest.fixture
def picture():
    return read_picture(SAMPLES["PNG"])


def changed(picture):
    return with_box(picture.image_rgb, (5, 5, 15, 15))


def test_places_that_cannot_be_written(tmp_path, picture):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for target, words in [
        (tmp_path / "no" / "o.png", "folder does not exist"),
        (tmp_path / "folder.png", "is a folder"),
        (tmp_path / "pipe.png", "not a regular file"),
        (tmp_path / "o.xyz", "names no format"),
        (tmp_path / "o", "names no format"),
        (tmp_path / "o.gif", "write to a .png"),
        (tmp_path / ("x" * 300 + ".png"), "cannot write"),
    ]:
        with pytest.raises(OutputError, match=words) as caught:
            write_picture(target, picture, changed(picture))
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.png", "pipe.png"]


@pytest.mark.parametrize("step", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch, picture, step, error):
    target = tmp_path / "o.png"
    target.write_bytes(b"what was there")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, step, fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_picture(target, picture, changed(picture), {"a": 1})
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["o.png"]
    assert target.read_bytes() == b"what was there"


def test_an_encoder_that_lies_is_caught(tmp_path, monkeypatch, picture):
    """The file is decoded before it is written; a wrong pixel stops it."""
    wrong = np.ascontiguousarray(picture.native.samples)
    wrong = wrong.copy()
    wrong[0, 0] ^= 1
    bad = encoded(Image.fromarray(wrong), "PNG")
    monkeypatch.setattr(files.png, "rewrite", lambda *_: (bad, ()))
    with pytest.raises(OutputError, match="exactly"):
        write_picture(tmp_path / "o.png", picture, changed(picture))
    monkeypatch.setattr(files.png, "rewrite", lambda *_: (bad[:200], ()))
    with pytest.raises(OutputError, match="broken"):
        write_picture(tmp_path / "o.png", picture, changed(picture))
    assert list(tmp_path.iterdir()) == []


def test_links_and_permissions_are_kept(tmp_path, picture):
    real = tmp_path / "real.png"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.png"
    link.symlink_to(real)
    write_picture(link, picture, changed(picture))
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert np.array_equal(read_picture(real).image_rgb, changed(picture))
    fresh = tmp_path / "fresh.png"
    write_picture(fresh, picture, changed(picture))
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o666 & ~mask


def test_writing_over_the_input(tmp_path):
    path = tmp_path / "p.png"
    path.write_bytes(SAMPLES["PNG"])
    picture = read_picture(path)
    stamp = path.stat().st_mtime_ns
    write_picture(path, picture, picture.image_rgb.copy(), {"a": 1})
    assert path.stat().st_mtime_ns == stamp  # nothing changed: not even touched
    write_picture(path, picture, changed(picture))
    assert np.array_equal(read_picture(path).image_rgb, changed(picture))


def test_a_result_of_the_wrong_shape_is_our_own_mistake(tmp_path, picture):
    with pytest.raises(ValueError, match="expected uint8"):
        write_picture(tmp_path / "o.png", picture, picture.image_rgb[:-1])


def test_the_working_copy_is_read_only(picture):
    with pytest.raises(ValueError, match="read-only"):
        picture.image_rgb[0, 0] = 0
    assert picture.image_rgb.flags["C_CONTIGUOUS"]


def test_orientations_that_do_not_exist_are_upright():
    for value in (0, 9, 500):
        data = encoded(IMAGE, "JPEG", exif=b"Exif\0\0" + exif(value))
        assert read_picture(data).orientation == 1
