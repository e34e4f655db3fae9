from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.data.sample import LabelledRegion, Sample, load_rgb, picture_size_wh
from retoucher.domain.geometry import Box
from retoucher.errors import InputError


def test_a_region_rejects_what_is_not_in_the_taxonomy() -> None:
    with pytest.raises(ValueError, match="unknown category 'paw'"):
        LabelledRegion(box=Box(0, 0, 4, 4), category="paw")
    with pytest.raises(ValueError, match="severity"):
        LabelledRegion(box=Box(0, 0, 4, 4), category="hand_shape", severity=4)
    with pytest.raises(ValueError, match=r"must be bool \(4, 6\)"):
        LabelledRegion(box=Box(0, 0, 6, 4), category="hand_shape", mask_hw=np.ones((6, 4), bool))


def test_a_region_from_a_mask_has_its_bounds() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:9, 10:20] = True
    mask[8, 25] = True
    region = LabelledRegion.from_mask(mask, category="unknown")
    assert region.box == Box(10, 5, 26, 9)
    assert region.mask_hw is not None
    assert region.mask_hw.sum() == mask.sum()


def test_pictures_come_upright_and_without_transparency(tmp_path: Path) -> None:
    stored = np.zeros((10, 20, 3), np.uint8)
    stored[:, :5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert picture_size_wh(tmp_path / "a.png") == (10, 20)
    upright = load_rgb(tmp_path / "a.png")
    assert upright.shape == (20, 10, 3)
    assert upright[0].mean() == 255
    assert upright[-1].mean() == 0

    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "b.png")
    assert (load_rgb(tmp_path / "b.png") == 255).all()


def test_a_picture_of_another_size_than_its_labels_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    sample = Sample(id="a", picture=tmp_path / "a.png", width=8, height=7)
    with pytest.raises(InputError, match="8x6 pixels, but its labels are for 8x7"):
        sample.load_rgb()
    with pytest.raises(InputError, match="no such file"):
        replace(sample, picture=tmp_path / "b.png").load_rgb()
    (tmp_path / "c.png").write_text("no picture")
    with pytest.raises(InputError, match="cannot be read as a picture"):
        load_rgb(tmp_path / "c.png")


def test_only_a_fully_labelled_picture_without_a_defect_is_clean() -> None:
    rgb = np.zeros((6, 6, 3), np.uint8)
    sample = Sample(id="a", picture=rgb, width=6, height=6)
    assert sample.is_clean
    assert not replace(sample, complete=False).is_clean
    region = LabelledRegion(box=Box(0, 0, 2, 2), category="unknown")
    assert not replace(sample, regions=(region,)).is_clean
    heat = np.zeros((3, 3), np.float32)
    assert replace(sample, saliency_hw=heat).is_clean
    heat = heat + 0.5
    assert not replace(sample, saliency_hw=heat).is_clean
    with pytest.raises(ValueError, match="saliency"):
        replace(sample, saliency_hw=heat * 3)
