"""JPEG, WebP, TIFF, AVIF, BMP, GIF, and one format written as another."""

import functools
import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, features
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from retoucher.errors import OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.files import read_picture, read_record, write_picture
from retoucher.imaging.native import alpha_of
from retoucher.imaging.prompts import recover_prompt
from tests.imaging.makers import INFOTEXT, encoded, exif, png_chunks, scene, with_box

RECORD = {"summary": "1 region retouched"}
BOX = (10, 10, 26, 26)
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><!-- theirs --></rdf:RDF></x:xmpmeta>'
)


@functools.cache  # a new one holds the time it was made
def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def retouched(tmp_path, data, suffix, box=BOX):
    """Read, repair the box, write; the picture before, the result, the report, the file after."""
    picture = read_picture(data)
    result = with_box(picture.image_rgb, box)
    path = tmp_path / f"out{suffix}"
    report = write_picture(path, picture, result, RECORD)
    return picture, result, report, read_picture(path)


def outside(shape_hw, box=BOX):
    mask = np.ones(shape_hw, bool)
    mask[box[1] : box[3], box[0] : box[2]] = False
    return mask


# --- JPEG


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("quality", "subsampling"), [(60, 2), (85, 1), (96, 0)])
def test_jpeg_keeps_its_tables_sampling_and_segments(tmp_path, quality, subsampling, progressive):
    data = encoded(
        Image.fromarray(scene()),
        "JPEG",
        quality=quality,
        subsampling=subsampling,
        progressive=progressive,
        exif=b"Exif\0\0" + exif(6, INFOTEXT),
        icc_profile=srgb_profile(),
        comment=b"a comment",
        xmp=XMP,
        dpi=(144, 144),
    )
    picture, result, report, again = retouched(tmp_path, data, ".jpg")
    old, new = JpegImageFile(io.BytesIO(data)), JpegImageFile(io.BytesIO(again.raw))
    assert new.quantization == old.quantization
    assert get_sampling(new) == get_sampling(old)
    assert new.info.get("progressive") == old.info.get("progressive")
    assert new.info["dpi"] == (144, 144)
    assert again.metadata.icc == picture.metadata.icc == srgb_profile()
    assert again.metadata.comment == "a comment"
    assert b"<!-- theirs -->" in again.metadata.xmp
    assert again.orientation == 6
    comment = again.metadata.exif_text(exif_blob.USER_COMMENT)
    assert comment == INFOTEXT + ", Agentic Retoucher: 1 region retouched"
    assert read_record(again) == RECORD
    # What the note says is what a viewer will see.
    mask = outside(result.shape[:2])
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(again.raw))))
    off = np.abs(shown.astype(int) - picture.image_rgb)[mask].max()
    assert report.exact_outside is bool(off == 0)
    assert off == 0 or any(f"up to {off} of 255; `-o out.png`" in note for note in report.notes)
    far = np.abs(shown.astype(int) - picture.image_rgb)[40:].mean()
    assert far < 2.5


@pytest.mark.parametrize(("quality", "subsampling"), [(60, 2), (85, 2), (60, 0), (85, 0)])
def test_jpeg_blocks_without_a_change_come_out_bit_for_bit(tmp_path, quality, subsampling):
    """Where nothing is saturated and steps are not tiny, from the next block on."""
    gentle = (scene(96, 128) // 2 + 60).astype(np.uint8)
    data = encoded(Image.fromarray(gentle), "JPEG", quality=quality, subsampling=subsampling)
    picture = read_picture(data)
    result = picture.image_rgb.copy()
    result[40:60, 50:70] = (180, 90, 60)
    write_picture(tmp_path / "o.jpg", picture, result)
    again = read_picture(tmp_path / "o.jpg")
    far = outside((96, 128), (48 - 1, 32 - 1, 80 + 1, 64 + 1))
    assert np.array_equal(again.image_rgb[far], picture.image_rgb[far])
    inside = (slice(44, 56), slice(54, 66))
    wanted = np.abs(picture.image_rgb.astype(int) - result)[inside].mean()
    assert np.abs(again.image_rgb.astype(int) - result)[inside].mean() < wanted / 4


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_grey_and_cmyk_stay_so(tmp_path, mode):
    data = encoded(Image.fromarray(scene()).convert(mode), "JPEG", quality=95)
    picture, result, _, again = retouched(tmp_path, data, ".jpg")
    assert picture.mode == again.mode == mode
    off = np.abs(again.image_rgb.astype(int) - result)[:, 40:]
    assert off.mean() < 2


def test_jpeg_stored_as_rgb_stays_so(tmp_path):
    data = encoded(Image.fromarray(scene()), "JPEG", quality=95, keep_rgb=True)
    *_, again = retouched(tmp_path, data, ".jpg")
    assert JpegImageFile(io.BytesIO(again.raw)).layer[0][0] == ord("R")
    assert np.abs(again.image_rgb.astype(int) - scene()[...])[40:].mean() < 2


def test_mpo_keeps_its_first_picture_and_says_so(tmp_path):
    first, second = Image.fromarray(scene()), Image.fromarray(scene(seed=5))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    picture, _, report, again = retouched(tmp_path, data, ".jpg")
    assert picture.format == "JPEG"
    assert any("MPO" in note for note in report.notes)
    assert Image.open(io.BytesIO(again.raw)).format == "JPEG"


def test_a_record_that_jpeg_has_no_room_for_is_left_out_and_said(tmp_path):
    picture = read_picture(encoded(Image.fromarray(scene()), "JPEG"))
    result = with_box(picture.image_rgb, BOX)
    report = write_picture(tmp_path / "o.jpg", picture, result, {"trace": "x" * 70_000})
    assert any("record was left out" in note for note in report.notes)
    assert read_record(read_picture(tmp_path / "o.jpg")) is None


def test_unchanged_jpeg_is_the_same_file(tmp_path):
    data = encoded(Image.fromarray(scene()), "JPEG", quality=50)
    picture = read_picture(data)
    assert write_picture(tmp_path / "o.jpg", picture, picture.image_rgb.copy()).exact_outside
    assert (tmp_path / "o.jpg").read_bytes() == data


# --- WebP


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp_is_exact(tmp_path, lossless, mode):
    pixels = scene()
    if mode == "RGBA":
        alpha = np.tile(np.array([0, 100, 255], np.uint8), (60, 30))
        pixels = np.dstack([pixels, alpha])
    data = encoded(
        Image.fromarray(pixels),
        "WEBP",
        lossless=lossless,
        exact=True,
        exif=exif(8, INFOTEXT),
        icc_profile=srgb_profile(),
        xmp=XMP,
    )
    picture, result, report, again = retouched(tmp_path, data, ".webp")
    assert report.exact_outside
    assert any("lossless" in note for note in report.notes) is not lossless
    mask = outside(result.shape[:2])
    assert np.array_equal(again.image_rgb[mask], picture.image_rgb[mask])
    assert again.orientation == 8
    assert again.metadata.icc == srgb_profile()
    assert again.metadata.exif_text(exif_blob.USER_COMMENT).startswith(INFOTEXT)
    assert read_record(again) == RECORD
    assert b"<!-- theirs -->" in again.metadata.xmp
    if mode == "RGBA":
        assert np.array_equal(alpha_of(again.native), alpha_of(picture.native))


# --- TIFF


def tiff_of(kind, order="<"):
    rng = np.random.default_rng(4)
    if kind == "RGB;16":
        wide = rng.integers(0, 65536, (60, 90, 3), dtype=np.uint16)
        return cv2.imencode(".tiff", wide)[1].tobytes()
    if kind == "L;16":
        wide = rng.integers(0, 65536, (60, 90), dtype=np.uint16)
        return encoded(Image.fromarray(wide), "TIFF", compression="tiff_lzw")
    image = Image.fromarray(scene()).convert(kind)
    return encoded(image, "TIFF", compression="tiff_lzw", tiffinfo={305: "them", 65000: "own"})


@pytest.mark.parametrize("kind", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "L;16", "RGB;16"])
def test_tiff_is_exact_and_keeps_its_tags(tmp_path, kind):
    data = tiff_of(kind)
    picture, _, report, again = retouched(tmp_path, data, ".tif")
    assert picture.mode == again.mode == kind
    assert report.exact_outside
    mask = outside((60, 90))
    assert np.array_equal(again.native.samples[mask], picture.native.samples[mask])
    assert read_record(again) == RECORD
    with Image.open(io.BytesIO(again.raw)) as opened:
        opened.load()
        if ";" not in kind:
            assert opened.tag_v2[305] == "them"
            assert opened.mode == kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_is_kept(tmp_path, orientation):
    image = Image.fromarray(scene())
    data = encoded(image, "TIFF", tiffinfo={0x0112: orientation})
    picture, _, _, again = retouched(tmp_path, data, ".tiff")
    assert picture.orientation == again.orientation == orientation
    assert np.array_equal(picture.native.samples, scene())
    upright = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))  # Pillow turns TIFFs itself
    assert np.array_equal(picture.image_rgb, upright)
    mask = outside(picture.image_rgb.shape[:2])
    assert np.array_equal(again.image_rgb[mask], picture.image_rgb[mask])


def test_white_is_zero_tiff(tmp_path):
    data = encoded(Image.fromarray(scene()).convert("1"), "TIFF", compression="group4")
    picture, _, _, again = retouched(tmp_path, data, ".tif")
    mask = outside((60, 90))
    assert np.array_equal(again.image_rgb[mask], picture.image_rgb[mask])


# --- AVIF, BMP, GIF


@needs_avif
def test_avif_says_how_far_off_it_is(tmp_path):
    data = encoded(Image.fromarray(scene()), "AVIF", quality=80, exif=b"Exif\0\0" + exif(6))
    picture, result, report, again = retouched(tmp_path, data, ".avif")
    assert (picture.orientation, again.orientation) == (6, 6)
    off = np.abs(again.image_rgb.astype(int) - picture.image_rgb)[outside(result.shape[:2])].max()
    assert not report.exact_outside
    assert any(f"up to {off} of 255" in note for note in report.notes)
    assert off < 40
    assert read_record(again) == RECORD


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_is_exact(tmp_path, mode):
    data = encoded(Image.fromarray(scene()).convert(mode), "BMP")
    picture, _, report, again = retouched(tmp_path, data, ".bmp")
    mask = outside((60, 90))
    assert np.array_equal(again.image_rgb[mask], picture.image_rgb[mask])
    assert report.exact_outside
    assert any("no place" in note for note in report.notes)


def test_gif_keeps_palette_and_transparency(tmp_path):
    image = Image.fromarray(scene()).quantize(60)
    data = encoded(image, "GIF", transparency=7, comment=b"hello")
    picture, _, report, again = retouched(tmp_path, data, ".gif")
    assert report.exact_outside
    assert np.array_equal(alpha_of(again.native), alpha_of(picture.native))
    mask = outside((60, 90))
    assert np.array_equal(again.image_rgb[mask], picture.image_rgb[mask])
    assert again.metadata.comment == "hello"


# --- one format as another


@settings(max_examples=40, deadline=None)
@given(orientation=st.integers(1, 8), lossy=st.booleans())
def test_to_png_is_exact_and_upright(tmp_path_factory, orientation, lossy):
    image = Image.fromarray(scene(31, 17))
    blob = exif(orientation, INFOTEXT)
    if lossy:
        data = encoded(image, "JPEG", exif=b"Exif\0\0" + blob, comment=b"hi", dpi=(300, 300))
    else:
        data = encoded(image, "WEBP", lossless=True, exif=blob, xmp=XMP)
    picture = read_picture(data)
    result = with_box(picture.image_rgb, (3, 4, 9, 11))
    path = tmp_path_factory.mktemp("to") / "o.png"
    report = write_picture(path, picture, result, RECORD)
    again = read_picture(path)
    assert report.exact_outside
    assert again.orientation == 1
    assert np.array_equal(np.asarray(Image.open(path)), result)
    assert recover_prompt(again.metadata).prompt == "a cat, sitting\non a mat"
    assert again.metadata.get("parameters").endswith("Agentic Retoucher: 1 region retouched")
    assert read_record(again) == RECORD


def test_png_to_jpeg_and_webp_carry_the_texts(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", INFOTEXT)
    info.add_text("prompt", '{"1": {"class_type": "X", "inputs": {}}}')
    info.add_text("workflow", '{"nodes": []}')
    info.add_text("Author", "me")
    data = encoded(Image.fromarray(scene()), "PNG", pnginfo=info, icc_profile=srgb_profile())
    for suffix in (".jpg", ".webp", ".tif"):
        _, _, report, again = retouched(tmp_path, data, suffix)
        assert recover_prompt(again.metadata).source == "a1111"
        assert again.metadata.exif_text(exif_blob.MODEL).startswith('prompt:{"1"')
        assert again.metadata.exif_text(exif_blob.MAKE) == 'workflow:{"nodes": []}'
        assert again.metadata.icc == srgb_profile()
        assert any("Author" in note for note in report.notes)
        assert read_record(again) == RECORD


def test_records_survive_a_change_of_format_without_a_new_one(tmp_path):
    picture = read_picture(encoded(Image.fromarray(scene()), "PNG"))
    write_picture(tmp_path / "a.png", picture, with_box(picture.image_rgb, BOX), RECORD)
    for source, target in (("a.png", "b.webp"), ("b.webp", "c.png"), ("c.png", "d.tif")):
        picture = read_picture(tmp_path / source)
        report = write_picture(tmp_path / target, picture, picture.image_rgb.copy(), {"no": 1})
        assert report.exact_outside
        assert read_record(read_picture(tmp_path / target)) == RECORD


def test_transparency_does_not_go_into_jpeg(tmp_path):
    rgba = np.dstack([scene(), np.full((60, 90), 90, np.uint8)])
    picture = read_picture(encoded(Image.fromarray(rgba), "PNG"))
    with pytest.raises(OutputError, match=r"no transparency.*\.png"):
        write_picture(tmp_path / "o.jpg", picture, with_box(picture.image_rgb, BOX))
    assert list(tmp_path.iterdir()) == []
    rgba[..., 3] = 255
    opaque = read_picture(encoded(Image.fromarray(rgba), "PNG"))
    write_picture(tmp_path / "o.jpg", opaque, with_box(opaque.image_rgb, BOX))
    assert read_picture(tmp_path / "o.jpg").mode == "RGB"


def test_16_bits_into_jpeg_is_said(tmp_path):
    wide = np.random.default_rng(0).integers(0, 65536, (20, 20, 3), dtype=np.uint16)
    picture = read_picture(cv2.imencode(".png", wide)[1].tobytes())
    report = write_picture(tmp_path / "o.jpg", picture, picture.image_rgb.copy())
    assert not report.exact_outside
    assert any("16 bits" in note for note in report.notes)


def test_cmyk_to_png_drops_its_profile(tmp_path):
    data = encoded(Image.fromarray(scene()).convert("CMYK"), "TIFF")
    _, result, report, again = retouched(tmp_path, data, ".png")
    assert again.mode == "RGB"
    assert not report.exact_outside
    assert np.array_equal(again.image_rgb, result)


def test_a_png_called_jpg_stays_a_png(tmp_path):
    path = tmp_path / "wrong.jpg"
    path.write_bytes(encoded(Image.fromarray(scene()), "PNG"))
    picture = read_picture(path)
    assert picture.format == "PNG"
    write_picture(tmp_path / "o.jpg", picture, with_box(picture.image_rgb, BOX))
    kinds = [kind for kind, _ in png_chunks((tmp_path / "o.jpg").read_bytes())]
    assert kinds[0] == b"IHDR"


def test_maker_notes_and_thumbnail_keep_their_place(tmp_path):
    """An EXIF whose maker note holds absolute offsets, as cameras write it."""
    blob = bytearray(exif(1, INFOTEXT))
    parsed = exif_blob.parse(bytes(blob))
    note = b"MAKER" + struct.pack(">I", len(blob)) + b"x" * 40
    with_note = exif_blob.set_tag(bytes(blob), "exif", exif_blob.MAKER_NOTE, 7, note)
    assert parsed is not None
    data = encoded(Image.fromarray(scene()), "JPEG", exif=b"Exif\0\0" + with_note)
    before = exif_blob.parse(read_picture(data).metadata.exif)
    *_, again = retouched(tmp_path, data, ".jpg")
    after = exif_blob.parse(again.metadata.exif)
    old, new = (e.exif[exif_blob.MAKER_NOTE] for e in (before, after))
    assert (new.value_at, new.value) == (old.value_at, old.value)
