"""Pictures in memory go in and come out exactly."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from retoucher.errors import InputError
from retoucher.imaging.memory import image_from_result, picture_from_image


def pil(mode: str) -> Image.Image:
    rng = np.random.default_rng(3)
    channels = {"L": (), "1": (), "I;16": (), "P": (3,), "LA": (2,), "RGB": (3,)}.get(mode, (4,))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (5, 7), np.uint16))
    values = rng.integers(0, 256, (5, 7, *channels), np.uint8)
    if mode == "CMYK":
        return Image.frombytes("CMYK", (7, 5), values.tobytes())
    image = Image.fromarray(values)
    if mode == "P":
        return image.quantize(16)
    return image.convert("1") if mode == "1" else image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "I;16", "CMYK"])
def test_an_unchanged_result_is_the_same_picture_in_the_same_mode(mode: str) -> None:
    image = pil(mode)
    picture = picture_from_image(image)
    out = image_from_result(picture, picture.image_rgb)
    assert out.mode == mode
    assert out.tobytes() == image.tobytes()


def test_a_palette_picture_comes_out_in_full_colour() -> None:
    image = pil("P")
    picture = picture_from_image(image)
    out = image_from_result(picture, picture.image_rgb)
    assert np.array_equal(np.asarray(out), np.asarray(image.convert("RGB")))


def test_a_change_lands_upright_and_keeps_alpha() -> None:
    image = pil("RGBA")
    exif = image.getexif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    picture = picture_from_image(image)
    assert picture.image_rgb.shape == (7, 5, 3)
    result = picture.image_rgb.copy()
    result[0, 0] = (1, 2, 3)
    out = np.asarray(image_from_result(picture, result))
    assert tuple(out[0, 0, :3]) == (1, 2, 3)
    alpha = np.rot90(np.asarray(image)[..., 3], -1)
    assert np.array_equal(out[..., 3], alpha)


def test_text_chunks_come_along(tmp_path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cup\nSteps: 1, Sampler: x, Seed: 2")
    file = tmp_path / "a.png"
    pil("RGB").save(file, pnginfo=info)
    with Image.open(file) as image:
        picture = picture_from_image(image)
    assert str(picture.metadata.get("parameters")).startswith("a cup")


def test_what_cannot_be_kept_exactly_is_refused() -> None:
    with pytest.raises(InputError, match="mode F cannot be kept exactly"):
        picture_from_image(Image.new("F", (3, 3)))
    with pytest.raises(InputError, match="empty"):
        picture_from_image(Image.new("RGB", (0, 3)))
