from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage import data

from retoucher.agents import EditRequest, SizeNeeds
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, InputError, PluginError
from retoucher.imaging.crop import CropSettings, cut, resample

NEEDS = st.builds(
    lambda limits, multiple: SizeNeeds(
        min_side_px=limits[0], max_side_px=limits[1], multiple=multiple
    ),
    st.sampled_from([(0, None), (0, 1024), (64, None), (512, 1024), (0, 100), (100, 300)]),
    st.sampled_from([1, 8, 16, 64]),
)


def picture_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 5000 + width).integers(
        0, 256, (height, width, 3), np.uint8
    )


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, Box]:
    height, width = draw(st.integers(1, 700)), draw(st.integers(1, 700))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (
        height,
        width,
        Box(x0, y0, draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))),
    )


@settings(max_examples=300, deadline=None)
@given(
    place=places(),
    needs=NEEDS,
    factor=st.sampled_from([1.0, 1.2, 1.5, 3.0]),
    context_px=st.sampled_from([0, 5, 32]),
)
@example(
    place=(1, 1, Box(0, 0, 1, 1)),
    needs=SizeNeeds(min_side_px=512, multiple=64),
    factor=1.5,
    context_px=32,
)
def test_a_crop_fits_tool_and_picture(
    place: tuple[int, int, Box], needs: SizeNeeds, factor: float, context_px: int
) -> None:
    height, width, box = place
    picture = picture_of(height, width)
    before = picture.tobytes()
    region = Region.from_box(box, id="r1")
    crop = cut(
        picture,
        region,
        size=needs,
        context_factor=factor,
        settings=CropSettings(min_context_px=context_px),
    )
    h, w = crop.mask_hw.shape
    assert Box.of_picture(height, width).contains(crop.box)
    assert crop.box.contains(box)
    assert crop.image_rgb.shape == (h, w, 3)
    assert crop.image_rgb.dtype == np.uint8
    assert crop.image_rgb.flags.c_contiguous
    assert not crop.image_rgb.flags.writeable
    assert not crop.mask_hw.flags.writeable
    assert not np.shares_memory(crop.image_rgb, picture)
    assert picture.tobytes() == before
    assert h % needs.multiple == 0
    assert w % needs.multiple == 0
    assert min(h, w) >= needs.min_side_px
    assert needs.max_side_px is None or max(h, w) <= needs.max_side_px
    assert crop.mask_hw.any()
    if not crop.resampled:
        assert np.array_equal(crop.image_rgb, picture[crop.box.slices])


@settings(max_examples=200, deadline=None)
@given(
    side=st.integers(1, 60),
    x0=st.integers(300, 500),
    y0=st.integers(300, 500),
    needs=NEEDS,
    long_side=st.integers(1, 90),
)
def test_with_room_around_it_the_aspect_stays(
    side: int, x0: int, y0: int, needs: SizeNeeds, long_side: int
) -> None:
    picture = np.zeros((1000, 1000, 3), np.uint8)
    region = Region.from_box(Box(x0, y0, x0 + long_side, y0 + side), id="r1")
    crop = cut(picture, region, size=needs, context_factor=1.5)
    h, w = crop.mask_hw.shape
    # Each side is off by at most half a picture pixel.
    distortion = (w / crop.box.width) / (h / crop.box.height)
    allowed = (1 + 0.5 / crop.box.width) * (1 + 0.5 / crop.box.height)
    assert 1 / allowed - 1e-9 <= distortion <= allowed + 1e-9


@pytest.mark.parametrize("multiple", [1, 8, 64])
def test_with_room_around_it_nothing_is_resampled_unless_a_limit_asks(multiple: int) -> None:
    picture = picture_of(600, 600)
    region = Region.from_box(Box(201, 307, 268, 331), id="r1")
    crop = cut(picture, region, size=SizeNeeds(multiple=multiple), context_factor=1.5)
    assert not crop.resampled
    assert np.array_equal(crop.image_rgb, picture[crop.box.slices])


def test_context_factor_and_minimum() -> None:
    picture = picture_of(900, 900)
    region = Region.from_box(Box(300, 400, 500, 440), id="r1")
    crop = cut(picture, region, size=SizeNeeds(), context_factor=2.0)
    assert (crop.box.width, crop.box.height) == (400, 40 + 2 * 32)
    assert crop.box.centre_xy == region.box.centre_xy
    settings_ = CropSettings(context_factor=3.0, min_context_px=0)
    crop = cut(picture, region, size=SizeNeeds(), context_factor=2.0, settings=settings_)
    assert (crop.box.width, crop.box.height) == (600, 120)


def test_a_crop_at_the_border_moves_inwards_instead_of_shrinking() -> None:
    picture = picture_of(900, 900)
    region = Region.from_box(Box(0, 800, 100, 900), id="r1")
    crop = cut(picture, region, size=SizeNeeds(), context_factor=3.0)
    assert crop.box == Box(0, 600, 300, 900)


def test_small_crops_are_enlarged_and_large_ones_reduced() -> None:
    picture = picture_of(2000, 2000)
    small = Region.from_box(Box(900, 900, 1000, 1000), id="r1")
    large = Region.from_box(Box(100, 100, 1900, 1900), id="r2")
    needs = SizeNeeds(min_side_px=512, max_side_px=1024, multiple=16)
    enlarged = cut(picture, small, size=needs, context_factor=1.5)
    reduced = cut(picture, large, size=needs, context_factor=1.0)
    assert enlarged.mask_hw.shape == (512, 512)
    assert enlarged.scale == pytest.approx(512 / 164, rel=0.01)
    assert reduced.mask_hw.shape == (1024, 1024)
    assert reduced.scale < 1


@pytest.mark.parametrize("side", [400, 700])
def test_a_little_more_or_less_context_is_better_than_resampling(side: int) -> None:
    picture = picture_of(2000, 2000)
    region = Region.from_box(Box(500, 500, 500 + side, 500 + side), id="r1")
    wanted = side * 1.2
    needs = SizeNeeds(min_side_px=500, max_side_px=800, multiple=4)
    assert wanted < 500 or wanted > 800
    assert not cut(picture, region, size=needs, context_factor=1.2).resampled


def test_a_long_region_meets_both_limits_with_its_aspect() -> None:
    picture = picture_of(1500, 1500)
    region = Region.from_box(Box(200, 700, 1400, 730), id="r1")  # a line of lettering
    needs = SizeNeeds(min_side_px=512, max_side_px=1024, multiple=16)
    crop = cut(picture, region, size=needs, context_factor=1.0)
    h, w = crop.mask_hw.shape
    assert (w / crop.box.width) / (h / crop.box.height) == pytest.approx(1, abs=0.01)
    assert w == 1024


def test_the_mask_covers_the_region_at_every_scale() -> None:
    picture = picture_of(1200, 1200)
    yy, xx = np.ogrid[:1200, :1200]
    region = Region.from_mask((yy - 600) ** 2 + (xx - 500) ** 2 < 300**2, id="r1", score=1.0)
    for needs in (SizeNeeds(max_side_px=96), SizeNeeds(max_side_px=700), SizeNeeds()):
        crop = cut(picture, region, size=needs, context_factor=1.5)
        h, w = crop.mask_hw.shape
        back = cv2.resize(
            crop.mask_hw.astype(np.uint8), (crop.box.width, crop.box.height), interpolation=0
        ).astype(bool)
        wanted = region.full_mask(1200, 1200)[crop.box.slices]
        assert not (wanted & ~back).any()
        rim = 4 * (crop.box.width / w) * 2 * math.pi * 300
        assert (back & ~wanted).sum() < rim
        assert h == pytest.approx(w)


def test_a_one_pixel_region_survives_reduction() -> None:
    picture = picture_of(500, 500)
    region = Region.from_box(Box(250, 250, 251, 251), id="r1")
    crop = cut(picture, region, size=SizeNeeds(max_side_px=8), context_factor=1.0)
    assert crop.mask_hw.sum() in (1, 2, 4)


@pytest.mark.parametrize("needs", [SizeNeeds(max_side_px=100), SizeNeeds(min_side_px=700)])
def test_evidence_coordinates_land_on_their_pixels(needs: SizeNeeds) -> None:
    """A mark in the picture is found in the crop where `EditRequest.to_crop_xy` says."""
    picture = np.zeros((600, 600, 3), np.uint8)
    picture[310:330, 240:270] = 255
    region = Region.from_box(Box(200, 280, 330, 350), id="r1")
    crop = cut(picture, region, size=needs, context_factor=1.5)
    request = EditRequest(
        crop_rgb=crop.image_rgb,
        mask_hw=crop.mask_hw,
        crop_box=crop.box,
        diagnosis=Diagnosis(
            region_id="r1", category="unknown", severity=1, description="", confidence=0.5
        ),
    )
    corners = request.to_crop_xy(np.array([[240.0, 310.0], [270.0, 330.0]]))
    seen = crop.image_rgb[..., 0].astype(float) / 255
    columns, rows = seen.max(axis=0), seen.max(axis=1)
    assert columns.sum() == pytest.approx(corners[1, 0] - corners[0, 0], abs=0.8)
    assert rows.sum() == pytest.approx(corners[1, 1] - corners[0, 1], abs=0.8)
    middle = float((seen.sum(axis=0) * (np.arange(seen.shape[1]) + 0.5)).sum() / seen.sum())
    assert middle == pytest.approx(corners[:, 0].mean(), abs=0.3)


def test_resampling_keeps_a_photo() -> None:
    photo = np.ascontiguousarray(data.chelsea())
    h, w = photo.shape[:2]
    larger = resample(photo, h * 2, w * 2)
    back = resample(larger, h, w)
    assert np.abs(back.astype(int) - photo).mean() < 1.5
    stretched = resample(photo, h // 2, w * 2)  # one axis each way
    assert stretched.shape == (h // 2, w * 2, 3)
    assert np.abs(stretched.mean((0, 1)) - photo.mean((0, 1))).max() < 0.7
    assert resample(photo, h, w) is photo


def test_errors_say_what_is_wrong() -> None:
    picture = picture_of(50, 60)
    inside = Region.from_box(Box(0, 0, 9, 9), id="r7")
    with pytest.raises(InputError, match=r"region r7 .* 60 x 50 px"):
        cut(
            picture, Region.from_box(Box(55, 0, 61, 9), id="r7"), size=SizeNeeds(), context_factor=1
        )
    for bad in (picture[..., 0], picture.astype(np.float32), np.zeros((5, 5, 4), np.uint8)):
        with pytest.raises(InputError, match=r"uint8 \(H, W, 3\)"):
            cut(bad, inside, size=SizeNeeds(), context_factor=1)
    with pytest.raises(ConfigError, match="context_factor"):
        cut(picture, inside, size=SizeNeeds(), context_factor=0.5)
    for needs in (
        SizeNeeds(min_side_px=500, max_side_px=400),
        SizeNeeds(max_side_px=7, multiple=8),
        SizeNeeds(min_side_px=65, max_side_px=100, multiple=64),
        SizeNeeds(multiple=0),
        SizeNeeds(min_side_px=-1),
    ):
        with pytest.raises(PluginError, match="multiple"):
            cut(picture, inside, size=needs, context_factor=1)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"context_factor": 0.9}, "context_factor"),
        ({"context_factor": float("nan")}, "context_factor"),
        ({"min_context_px": -1}, "min_context_px"),
    ],
)
def test_settings_are_checked(kwargs: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CropSettings(**kwargs)  # type: ignore[arg-type]
