"""Laws of the composite, over random pictures, masks, tools and size needs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from skimage import data

from retoucher.agents import SizeNeeds
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, InputError, ToolError
from retoucher.imaging.colour import ColourSettings
from retoucher.imaging.crop import Crop, CropSettings, cut
from retoucher.imaging.stitch import StitchSettings, stitch

Edit = Callable[[Crop, np.random.Generator], np.ndarray]


def constant(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    return np.full_like(crop.image_rgb, rng.integers(0, 256))


def noise(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, crop.image_rgb.shape, np.uint8)


def small_noise(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    moved = crop.image_rgb.astype(np.int16) + rng.integers(-3, 4, crop.image_rgb.shape)
    return np.clip(moved, 0, 255).astype(np.uint8)


def shifted(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    moved = crop.image_rgb.astype(np.int16) + rng.integers(-40, 41, 3)
    return np.clip(moved, 0, 255).astype(np.uint8)


def filled(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    """A precise tool: repaints its mask and nothing else."""
    out = crop.image_rgb.copy()
    out[crop.mask_hw] = rng.integers(0, 256, 3)
    return out


def dotted(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    out = crop.image_rgb.copy()
    y, x = (int(rng.integers(0, n)) for n in crop.mask_hw.shape)
    out[y, x] ^= 0xFF
    return out


def fortran(crop: Crop, rng: np.random.Generator) -> np.ndarray:
    return np.asfortranarray(noise(crop, rng))


EDITS: list[Edit] = [constant, noise, small_noise, shifted, filled, dotted, fortran]

size_needs = st.builds(
    lambda limits, multiple: SizeNeeds(
        min_side_px=limits[0], max_side_px=limits[1], multiple=multiple
    ),
    st.sampled_from([(0, None), (64, None), (0, 64), (64, 256), (512, 1024)]),
    st.sampled_from([1, 8, 16, 64]),
)
crop_settings = st.builds(CropSettings, min_context_px=st.sampled_from([0, 1, 32]))
stitch_settings = st.builds(
    StitchSettings,
    blend=st.sampled_from(["alpha", "alpha", "poisson"]),
    feather=st.sampled_from([0.0, 0.015, 0.3]),
    feather_min_px=st.sampled_from([0.0, 2.0]),
    colour_correction=st.booleans(),
)


def picture_of(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth structure with some noise, all levels used."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(1, height // 9), max(1, width // 9), 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    smooth = smooth.reshape(height, width, 3).astype(np.int16)
    return np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


@st.composite
def scenes(draw: st.DrawFn, longest: int = 160) -> tuple[np.ndarray, Region, int]:
    """A picture, a region in it (often at a border, sometimes all of it), and a seed."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    seed = draw(st.integers(0, 2**32 - 1))
    xs = sorted((draw(st.integers(0, width - 1)), draw(st.integers(0, width - 1))))
    ys = sorted((draw(st.integers(0, height - 1)), draw(st.integers(0, height - 1))))
    stretch = draw(st.sampled_from(["inside", "left", "right", "top", "bottom", "corner", "all"]))
    x0 = 0 if stretch in ("left", "corner", "all") else xs[0]
    x1 = width if stretch in ("right", "all") else xs[1] + 1
    y0 = 0 if stretch in ("top", "corner", "all") else ys[0]
    y1 = height if stretch in ("bottom", "all") else ys[1] + 1
    box = Box(x0, y0, x1, y1)
    mask = np.ones((box.height, box.width), bool)
    shape = draw(st.sampled_from(["box", "ellipse", "speckle"]))
    if shape == "ellipse":
        yy, xx = np.mgrid[-1 : 1 : box.height * 1j, -1 : 1 : box.width * 1j]
        mask = (yy**2 + xx**2 <= 1.01) | (min(mask.shape) < 3)
    elif shape == "speckle":
        mask = np.random.default_rng(seed).random(mask.shape) < 0.5
        mask[0, 0] = True
    return picture_of(height, width, seed), Region(id="r1", box=box, mask_hw=mask, score=1.0), seed


def bounds_of(differs_hw: np.ndarray) -> Box | None:
    ys, xs = np.nonzero(differs_hw)
    if not len(ys):
        return None
    return Box(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)


@settings(max_examples=250, deadline=None)
@given(
    scene=scenes(),
    needs=size_needs,
    factor=st.sampled_from([1.0, 1.5, 3.0]),
    cropping=crop_settings,
    blending=stitch_settings,
    edit=st.sampled_from(EDITS),
)
def test_bytes_outside_the_mask_stay_and_the_record_is_true(
    scene: tuple[np.ndarray, Region, int],
    needs: SizeNeeds,
    factor: float,
    cropping: CropSettings,
    blending: StitchSettings,
    edit: Edit,
) -> None:
    picture, region, seed = scene
    given_bytes = picture.tobytes()
    crop = cut(picture, region, size=needs, context_factor=factor, settings=cropping)
    edited = edit(crop, np.random.default_rng(seed))
    edited_bytes = edited.tobytes()
    result = stitch(picture, crop, edited, region, blending)

    assert (picture.tobytes(), edited.tobytes()) == (given_bytes, edited_bytes)
    assert result.image_rgb.shape == picture.shape
    assert result.image_rgb.dtype == np.uint8
    assert result.image_rgb.flags.c_contiguous
    differs = (result.image_rgb != picture).any(axis=2)
    assert not (differs & ~region.full_mask(*picture.shape[:2])).any()
    assert result.changed_box == bounds_of(differs)
    assert result.alpha_hw.shape == region.mask_hw.shape
    assert result.alpha_hw.dtype == np.float32
    assert float(result.alpha_hw.min()) >= 0
    assert float(result.alpha_hw.max()) <= 1
    assert not (differs[region.box.slices] & (result.alpha_hw == 0)).any()
    again = stitch(picture, crop, edited, region, blending)
    assert again.image_rgb.tobytes() == result.image_rgb.tobytes()


@settings(max_examples=150, deadline=None)
@given(
    scene=scenes(),
    needs=size_needs,
    factor=st.sampled_from([1.0, 1.5, 3.0]),
    blending=stitch_settings,
)
def test_an_identity_edit_gives_identical_bytes(
    scene: tuple[np.ndarray, Region, int],
    needs: SizeNeeds,
    factor: float,
    blending: StitchSettings,
) -> None:
    picture, region, _ = scene
    crop = cut(picture, region, size=needs, context_factor=factor)
    result = stitch(picture, crop, crop.image_rgb.copy(), region, blending)
    assert result.changed_box is None
    assert result.image_rgb.tobytes() == picture.tobytes()
    assert not result.alpha_hw.any()


@settings(max_examples=100, deadline=None)
@given(scene=scenes(), needs=size_needs, edit=st.sampled_from([filled, dotted]))
def test_pixels_far_from_what_the_tool_changed_keep_their_bytes(
    scene: tuple[np.ndarray, Region, int], needs: SizeNeeds, edit: Edit
) -> None:
    picture, region, seed = scene
    crop = cut(picture, region, size=needs, context_factor=1.5)
    rng = np.random.default_rng(seed)
    edited = crop.image_rgb.copy()
    y, x = (int(rng.integers(0, n)) for n in crop.mask_hw.shape)
    side = int(rng.integers(1, 20))
    edited[y : y + side, x : x + side] ^= 0x80
    result = stitch(picture, crop, edited, region)
    # The patch in picture pixels, and four pixels of the coarser of the two grids around it.
    to_x = crop.box.width / crop.mask_hw.shape[1]
    to_y = crop.box.height / crop.mask_hw.shape[0]
    reach_x, reach_y = 4 * max(1, to_x), 4 * max(1, to_y)
    worst = max(1.0, to_x / to_y, to_y / to_x)
    allowed = Box.from_xyxy(
        (
            crop.box.x0 + x * to_x - reach_x * worst,
            crop.box.y0 + y * to_y - reach_y * worst,
            crop.box.x0 + (x + side) * to_x + reach_x * worst,
            crop.box.y0 + (y + side) * to_y + reach_y * worst,
        )
    )
    if result.changed_box is not None:
        assert allowed.contains(result.changed_box)


@settings(max_examples=4, deadline=None)
@given(
    shape=st.sampled_from([(4096, 4096), (3, 4096), (4096, 1), (2161, 3841)]),
    needs=size_needs,
    edit=st.sampled_from(EDITS),
    seed=st.integers(0, 99),
)
@example(shape=(4096, 4096), needs=SizeNeeds(max_side_px=1024, multiple=64), edit=noise, seed=0)
@example(shape=(1, 1), needs=SizeNeeds(min_side_px=512, multiple=64), edit=noise, seed=0)
def test_the_laws_hold_up_to_4k(
    shape: tuple[int, int], needs: SizeNeeds, edit: Edit, seed: int
) -> None:
    height, width = shape
    rng = np.random.default_rng(seed)
    picture = np.broadcast_to(rng.integers(0, 256, (1, width, 3), np.uint8), (*shape, 3)).copy()
    region = Region.from_box(Box(width // 3, height // 4, width, height), id="r1")
    crop = cut(picture, region, size=needs, context_factor=1.5)
    result = stitch(picture, crop, edit(crop, rng), region)
    kept = np.ones(shape, bool)
    kept[region.box.slices] = False
    assert np.array_equal(result.image_rgb[kept], picture[kept])
    if result.changed_box is not None:
        assert region.box.contains(result.changed_box)
    assert stitch(picture, crop, crop.image_rgb, region).changed_box is None


# What a composite should look like ----------------------------------------------------------------


def disc(height: int, width: int, centre_yx: tuple[int, int], radius: float) -> Region:
    yy, xx = np.ogrid[:height, :width]
    inside = (yy - centre_yx[0]) ** 2 + (xx - centre_yx[1]) ** 2 <= radius**2
    return Region.from_mask(inside, id="r1", score=1.0)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(data.astronaut())


def test_the_edit_arrives_whole_inside_and_ramps_at_the_seam(photo: np.ndarray) -> None:
    region = disc(512, 512, (250, 250), 60)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=1.5)
    edited = crop.image_rgb.copy()
    edited[crop.mask_hw] = (10, 200, 30)
    result = stitch(photo, crop, edited, region)
    assert tuple(result.image_rgb[250, 250]) == (10, 200, 30)
    from_centre = result.alpha_hw[60, 60:]
    assert (np.diff(from_centre) <= 0).all()  # falls outwards only
    assert from_centre[0] == 1
    assert 0 < from_centre[60] < 0.5  # the last masked pixel
    inner = from_centre[(from_centre > 0) & (from_centre < 1)]
    assert 2 <= len(inner) <= 10


def test_feather_grows_with_the_crop_within_its_limits() -> None:
    def ramp_px(radius: int, settings: StitchSettings) -> int:
        side = 4 * radius
        picture = np.zeros((side, side, 3), np.uint8)
        region = disc(side, side, (side // 2, side // 2), radius)
        crop = cut(picture, region, size=SizeNeeds(), context_factor=1.5)
        alpha = stitch(picture, crop, np.full_like(crop.image_rgb, 9), region, settings).alpha_hw
        line = alpha[radius]
        return int(((line > 0) & (line < 1)).sum()) // 2

    free = StitchSettings(colour_correction=False)
    assert ramp_px(40, free) < ramp_px(200, free) < ramp_px(600, free)
    narrow = StitchSettings(colour_correction=False, feather_max_px=4)
    assert ramp_px(600, narrow) <= 6  # the disc's tip adds one


def test_a_thin_mask_still_gets_the_edit_in_its_middle() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    region = Region.from_box(Box(50, 97, 150, 102), id="r1")
    crop = cut(picture, region, size=SizeNeeds(), context_factor=1.5)
    wide = StitchSettings(colour_correction=False, feather=0.5)
    result = stitch(picture, crop, np.full_like(crop.image_rgb, 200), region, wide)
    assert (result.image_rgb[99, 60:140] == 200).all()


def test_no_feather_where_the_edit_does_not_reach_the_edge(photo: np.ndarray) -> None:
    region = Region.from_box(Box(100, 100, 300, 200), id="r1")
    crop = cut(photo, region, size=SizeNeeds(), context_factor=1.5)
    edited = crop.image_rgb.copy()
    word = Box(101, 101, 299, 199)  # one pixel from the mask's edge
    edited[word.shift(-crop.box.x0, -crop.box.y0).slices] ^= 0xFF
    result = stitch(photo, crop, edited, region)
    assert result.changed_box == word
    assert np.array_equal(result.image_rgb[crop.box.slices], edited)
    # What happens outside the mask, away from the edit, makes no seam either.
    outside = Box(100, 90, 300, 100).shift(-crop.box.x0, -crop.box.y0)
    edited[outside.slices] ^= 0xFF
    second = stitch(photo, crop, edited, region, StitchSettings(colour_correction=False))
    assert np.array_equal(second.image_rgb, result.image_rgb)


def test_the_composite_is_rounded_to_the_nearest_level(photo: np.ndarray) -> None:
    region = disc(512, 512, (250, 250), 60)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=1.5)
    edited = np.random.default_rng(0).integers(0, 256, crop.image_rgb.shape, np.uint8)
    wide = StitchSettings(colour_correction=False, feather=0.2)
    result = stitch(photo, crop, edited, region, wide)
    before = photo[region.box.slices].astype(float)
    edit = edited[region.box.shift(-crop.box.x0, -crop.box.y0).slices].astype(float)
    exact = before + result.alpha_hw[..., None].astype(float) * (edit - before)
    assert np.abs(result.image_rgb[region.box.slices] - exact).max() <= 0.5 + 1e-4


def test_a_mask_at_the_pictures_edge_has_no_seam_there() -> None:
    picture = np.zeros((120, 120, 3), np.uint8)
    region = Region.from_box(Box(0, 0, 40, 120), id="r1")
    crop = cut(picture, region, size=SizeNeeds(), context_factor=1.5)
    settings = StitchSettings(colour_correction=False)
    result = stitch(picture, crop, np.full_like(crop.image_rgb, 99), region, settings)
    assert (result.image_rgb[:, :30] == 99).all()
    assert (result.image_rgb[:, 39] < 99).all()


@pytest.mark.parametrize(
    "needs",
    [SizeNeeds(), SizeNeeds(min_side_px=512), SizeNeeds(max_side_px=64)],
    ids=["native", "enlarged", "reduced"],
)
def test_a_global_colour_shift_is_undone(photo: np.ndarray, needs: SizeNeeds) -> None:
    region = disc(512, 512, (300, 200), 50)
    crop = cut(photo, region, size=needs, context_factor=2.0)
    moved = crop.image_rgb * np.array([0.92, 1.0, 1.06]) + np.array([9.0, -7.0, 4.0])
    edited = np.clip(np.round(moved), 0, 255).astype(np.uint8)
    patch = np.zeros(crop.mask_hw.shape, bool)  # the real repair: a grey square in the middle
    cy, cx = (n // 2 for n in patch.shape)
    r = round(15 * crop.scale)
    patch[cy - r : cy + r, cx - r : cx + r] = True
    grey = np.array([128.0, 128.0, 128.0])
    seen_grey = grey * np.array([0.92, 1.0, 1.06]) + np.array([9.0, -7.0, 4.0])
    edited[patch] = np.round(seen_grey).astype(np.uint8)

    result = stitch(photo, crop, edited, region)
    off = stitch(photo, crop, edited, region, StitchSettings(colour_correction=False))
    centre = (slice(295, 305), slice(195, 205))
    assert np.abs(result.image_rgb[centre] - grey).max() <= 2
    assert np.abs(off.image_rgb[centre] - grey).max() >= 6
    # Away from the repair, the picture is what it was.
    away = region.full_mask(512, 512)
    away[270:330, 170:230] = False
    drift = np.abs(result.image_rgb[away].astype(int) - photo[away])
    drift_off = np.abs(off.image_rgb[away].astype(int) - photo[away])
    assert drift.mean() < 0.2
    assert drift_off.mean() > 3


def test_other_content_in_the_ring_corrects_nothing(photo: np.ndarray) -> None:
    region = disc(512, 512, (300, 200), 50)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=2.0)
    other = np.ascontiguousarray(np.rot90(crop.image_rgb, 2))
    with_it = stitch(photo, crop, other, region)
    without = stitch(photo, crop, other, region, StitchSettings(colour_correction=False))
    assert np.array_equal(with_it.image_rgb, without.image_rgb)


def test_a_reduced_crop_brings_no_old_detail_back() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (400, 400, 3), np.uint8)  # detail that reduction destroys
    region = Region.from_box(Box(100, 100, 300, 300), id="r1")
    crop = cut(picture, region, size=SizeNeeds(max_side_px=96), context_factor=1.2)
    edited = crop.image_rgb.copy()
    edited[crop.mask_hw] = 90
    result = stitch(picture, crop, edited, region)
    assert (result.image_rgb[130:270, 130:270] == 90).all()


def test_an_untouched_corner_of_the_mask_stays_sharp_in_a_reduced_crop() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (400, 400, 3), np.uint8)
    region = Region.from_box(Box(100, 100, 300, 300), id="r1")
    crop = cut(picture, region, size=SizeNeeds(max_side_px=96), context_factor=1.2)
    edited = crop.image_rgb.copy()
    edited[40:50, 40:50] = 255
    result = stitch(picture, crop, edited, region)
    assert result.changed_box is not None
    assert result.changed_box.area_px < 100 * 100
    assert np.array_equal(result.image_rgb[100:140, 100:140], picture[100:140, 100:140])


def test_poisson_follows_uneven_light() -> None:
    ramp = np.linspace(40, 200, 300)[None, :, None]
    picture = np.broadcast_to(np.round(ramp), (300, 300, 3)).astype(np.uint8)
    picture = np.ascontiguousarray(picture)
    region = disc(300, 300, (150, 150), 60)
    crop = cut(picture, region, size=SizeNeeds(), context_factor=1.5)
    edited = crop.image_rgb.copy()
    edited[crop.mask_hw] = 60  # flat: wrong light everywhere
    poisson = stitch(picture, crop, edited, region, StitchSettings(blend="poisson"))
    alpha = stitch(picture, crop, edited, region)
    inside = disc(300, 300, (150, 150), 50).full_mask(300, 300)
    error = {
        name: np.abs(r.image_rgb[inside].astype(float) - picture[inside]).mean()
        for name, r in (("poisson", poisson), ("alpha", alpha))
    }
    assert error["poisson"] < 5
    assert error["alpha"] > 40


@settings(max_examples=60, deadline=None)
@given(x0=st.integers(0, 30), y0=st.integers(0, 30), w=st.integers(9, 31), h=st.integers(9, 31))
def test_poisson_puts_the_edit_where_it_belongs(x0: int, y0: int, w: int, h: int) -> None:
    """The edit's gradients are found at its own pixels, for odd and even sizes alike."""
    picture = np.full((64, 64, 3), 100, np.uint8)
    region = Region.from_box(Box(x0, y0, x0 + w, y0 + h), id="r1")
    crop = cut(picture, region, size=SizeNeeds(), context_factor=1.0)
    edited = crop.image_rgb.copy()
    dot_x, dot_y = x0 + w // 2, y0 + h // 2
    edited[dot_y - crop.box.y0, dot_x - crop.box.x0] = 220
    result = stitch(picture, crop, edited, region, StitchSettings(blend="poisson"))
    brightest = np.unravel_index(result.image_rgb[..., 0].argmax(), (64, 64))
    assert tuple(int(v) for v in brightest) == (dot_y, dot_x)
    assert result.image_rgb[dot_y, dot_x, 0] >= 200


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda crop: crop.image_rgb[:-1], r"expected an array uint8 \(\d+, \d+, 3\)"),
        (lambda crop: crop.image_rgb.astype(np.float32), "float32"),
        (lambda crop: crop.image_rgb[..., 0], "uint8"),
        (lambda crop: None, "NoneType"),
        (lambda crop: "picture.png", "str"),
    ],
)
def test_a_wrong_edit_is_the_tools_error(
    photo: np.ndarray, bad: Callable[[Crop], object], words: str
) -> None:
    region = disc(512, 512, (300, 200), 50)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=1.5)
    with pytest.raises(ToolError, match=words):
        stitch(photo, crop, bad(crop), region)  # type: ignore[arg-type]


def test_a_crop_of_another_region_or_picture_is_refused(photo: np.ndarray) -> None:
    region = disc(512, 512, (300, 200), 50)
    elsewhere = disc(512, 512, (60, 400), 20)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=1.5)
    with pytest.raises(InputError, match="contain region"):
        stitch(photo, crop, crop.image_rgb, elsewhere)
    with pytest.raises(InputError, match="leaves the picture"):
        stitch(photo[:280], crop, crop.image_rgb, region)
    with pytest.raises(InputError, match="contain region"):
        stitch(photo[:351], crop, crop.image_rgb, region)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"blend": "laplace"}, "blend"),
        ({"feather": 1.5}, "feather"),
        ({"feather": float("nan")}, "feather"),
        ({"feather_min_px": 9, "feather_max_px": 3}, "feather_min_px"),
        ({"feather_max_px": float("inf")}, "feather_max_px"),
    ],
)
def test_settings_are_checked(kwargs: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        StitchSettings(**kwargs)  # type: ignore[arg-type]


def test_limits_of_the_correction_hold(photo: np.ndarray) -> None:
    region = disc(512, 512, (300, 200), 50)
    crop = cut(photo, region, size=SizeNeeds(), context_factor=2.0)
    edited = np.clip(crop.image_rgb.astype(int) + 12, 0, 255).astype(np.uint8)
    tight = StitchSettings(colour=ColourSettings(max_shift=4.0))
    result = stitch(photo, crop, edited, region, tight)
    rise = result.image_rgb[295:305, 195:205].astype(int) - photo[295:305, 195:205]
    # 12 levels up, 4 of them taken back.
    assert abs(float(rise.mean()) - 8) < 1
