import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retoucher.domain.geometry import Box
from retoucher.reasoning.views import (
    ViewSettings,
    context_box,
    context_crop,
    marked_picture,
    png_bytes,
)

GREY = np.full((300, 400, 3), 128, np.uint8)


def test_every_mark_is_drawn_outside_of_its_region() -> None:
    boxes = [Box(0, 0, 60, 60), Box(150, 100, 250, 200), Box(340, 260, 400, 300)]
    marked = marked_picture(GREY, boxes, ViewSettings())
    assert marked.shape == GREY.shape
    for box in boxes:
        assert (marked[box.slices] == 128).all()
        around = box.expand(4).clip(300, 400)
        assert around is not None
        assert (marked[around.slices] != 128).any()
    assert (GREY == 128).all()


def test_marks_have_different_numbers() -> None:
    box = Box(150, 100, 250, 200)
    first = marked_picture(GREY, [box, Box(0, 0, 9, 9)], ViewSettings())
    second = marked_picture(GREY, [Box(0, 0, 9, 9), box], ViewSettings())
    near = box.expand(40).slices
    assert (first[near] != second[near]).any()


def test_a_large_picture_is_reduced_and_a_small_one_kept() -> None:
    large = np.zeros((1500, 3000, 3), np.uint8)
    assert marked_picture(large, [], ViewSettings()).shape == (512, 1024, 3)
    assert marked_picture(GREY, [], ViewSettings()).shape == GREY.shape


def test_a_crop_shows_the_region_with_its_surroundings_enlarged() -> None:
    image = GREY.copy()
    box = Box(200, 100, 240, 140)
    image[box.slices] = 0
    crop = context_crop(image, box, ViewSettings(margin=0.5, crop_side_px=160))
    assert crop.shape == (160, 160, 3)
    assert (crop[44:116, 44:116] < 20).all()
    assert (abs(crop[5:30, 5:155].astype(int) - 128) < 20).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    extent=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    margin=st.floats(0, 10),
)
def test_context_lies_in_the_picture_and_holds_the_region(
    size: tuple[int, int],
    corner: tuple[float, float],
    extent: tuple[float, float],
    margin: float,
) -> None:
    height, width = size
    x0, y0 = int(corner[0] * width), int(corner[1] * height)
    x1 = min(width, x0 + max(1, int(extent[0] * width)))
    y1 = min(height, y0 + max(1, int(extent[1] * height)))
    box = Box(x0, y0, x1, y1)
    around = context_box(box, height, width, margin)
    assert Box.of_picture(height, width).contains(around)
    assert around.contains(box)
    image = np.zeros((height, width, 3), np.uint8)
    assert max(context_crop(image, box, ViewSettings(margin=margin)).shape) == 448
    assert marked_picture(image, [box], ViewSettings()).shape == image.shape


def test_pictures_are_sent_without_loss() -> None:
    import io

    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8)
    again = np.asarray(Image.open(io.BytesIO(png_bytes(noise))))
    assert (again == noise).all()


@pytest.mark.parametrize(
    "wrong",
    [{"margin": -0.1}, {"crop_side_px": 0}, {"picture_side_px": 99999}, {"regions_per_request": 0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        ViewSettings(**wrong)  # pyright: ignore[reportArgumentType]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(size=st.tuples(st.integers(1, 90), st.integers(1, 90)), margin=st.floats(0, 3))
def test_squares_of_one_size_whatever_the_picture(size: tuple[int, int], margin: float) -> None:
    height, width = size
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    box = Box(width // 2, height // 2, width // 2 + 1, height // 2 + 1)
    view = ViewSettings(pictures="both", picture_side_px=56, crop_side_px=28, margin=margin)
    assert marked_picture(image, [box], view).shape == (56, 56, 3)
    assert context_crop(image, box, view).shape == (28, 28, 3)


def test_a_square_is_filled_up_with_grey_and_the_picture_not_stretched() -> None:
    image = np.zeros((20, 40, 3), np.uint8)
    view = ViewSettings(pictures="crop", crop_side_px=80, margin=10)
    square = context_crop(image, Box(18, 8, 22, 12), view)
    assert (square[:20] == 128).all()
    assert (square[60:] == 128).all()
    assert (square[20:60, :20] == 0).all()
    outline = (square[..., 0] > 200) & (square[..., 1] < 40)
    ys, xs = np.flatnonzero(outline.any(1)), np.flatnonzero(outline.any(0))
    assert (ys[0] + ys[-1], xs[0] + xs[-1]) == (79, 79), "the mark lies in the middle"
    assert ys[-1] - ys[0] == xs[-1] - xs[0] == 8 + 2 * 2 - 1


def test_pictures_are_one_of_three() -> None:
    with pytest.raises(ValueError, match="round, both or crop"):
        ViewSettings(pictures="all")  # pyright: ignore[reportArgumentType]
