import numpy as np

from retoucher.lettering.quads import (
    crop_quad,
    grow_quad,
    quad_height_px,
    quad_width_px,
    rotate_quad,
    slice_quad,
)

QUAD = np.array([[10.0, 20.0], [50.0, 20.0], [50.0, 30.0], [10.0, 30.0]])


def test_crop_of_an_upright_quad_is_the_slice() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert np.array_equal(crop_quad(image, QUAD), image[20:30, 10:50])


def test_crop_of_a_turned_quad_is_turned() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    turned = crop_quad(image, rotate_quad(QUAD, 2))
    assert np.array_equal(turned, image[20:30, 10:50][::-1, ::-1])


def test_sizes_slices_and_growth() -> None:
    assert (quad_width_px(QUAD), quad_height_px(QUAD)) == (40.0, 10.0)
    half = slice_quad(QUAD, 0.5, 1.0)
    assert half.tolist() == [[30.0, 20.0], [50.0, 20.0], [50.0, 30.0], [30.0, 30.0]]
    grown = grow_quad(QUAD, 2.0)
    assert np.allclose(grown, [[8.0, 18.0], [52.0, 18.0], [52.0, 32.0], [8.0, 32.0]])


def test_a_degenerate_quad_gives_a_pixel() -> None:
    image = np.zeros((5, 5, 3), np.uint8)
    assert crop_quad(image, np.full((4, 2), 2.0)).shape == (1, 1, 3)
