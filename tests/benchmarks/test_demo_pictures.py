from importlib import resources

import numpy as np
import pytest
from PIL import Image

FOLDER = resources.files("retoucher") / "demo"
WORDS = {
    "chalkboard.png": "menu board",
    "jar_label.png": '"Orange" and "Marmalade"',
    "portrait.jpg": "grey T-shirt",
    "poster.png": '"SUMMER FESTIVAL"',
    "road_sign.jpg": "RIVER STREET",
    "shirt.jpg": '"Mountain Rescue"',
    "shop_sign.png": '"BAKERY"',
    "sticker.png": '"GOOD MORNING"',
}


def _names():
    return sorted(p.name for p in FOLDER.iterdir() if p.name.endswith((".png", ".jpg")))


def test_every_picture_is_accounted_for():
    sources = (FOLDER / "SOURCES.md").read_text("utf-8")
    assert _names() == sorted(WORDS)
    assert all(f"`{name}`" in sources for name in _names())


def test_they_stay_small():
    assert sum(len((FOLDER / name).read_bytes()) for name in _names()) < 1_500_000


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_prompt_is_found_in_the_file(name):
    from retoucher.imaging.files import read_picture
    from retoucher.imaging.prompts import recover_prompt

    with resources.as_file(FOLDER / name) as path:
        found = recover_prompt(read_picture(path).metadata)
    assert found is not None
    assert WORDS[name] in found.prompt
    assert "watermark" not in found.prompt  # that stands in the negative prompt


def test_one_has_real_alpha():
    with resources.as_file(FOLDER / "sticker.png") as path, Image.open(path) as im:
        alpha = np.asarray(im.getchannel("A"))
    assert alpha.min() == 0
    assert alpha.max() == 255
