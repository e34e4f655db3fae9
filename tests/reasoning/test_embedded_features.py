"""What is measured in a region, on pictures whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.reasoning.embedded_features import ZOOM_CONTEXT, measure, zoom_box, zoom_features
from retoucher.reasoning.embedded_model import shipped_diagnostician
from retoucher.vision.runtime import SaliencyNetwork, shared_network


@pytest.fixture(scope="module")
def network() -> SaliencyNetwork:
    return shared_network()


def half_noise(height: int = 160, width: int = 240) -> np.ndarray:
    """Smooth on the left, noise on the right."""
    image = np.full((height, width, 3), 128, np.uint8)
    noise = np.random.default_rng(3).integers(0, 256, (height, width // 2, 1), np.uint8)
    image[:, width // 2 :] = noise
    return image


def test_saliency_inside_and_around_is_the_perceivers(network: SaliencyNetwork) -> None:
    image = half_noise(512, 512)
    values = SaliencyPerceiver().perceive(image, "a wall").values_hw
    region = Region.from_box(Box(256, 160, 384, 320), id="r1")
    found = measure(network, image, "a wall", region)
    assert found.inside == pytest.approx(float(values[region.box.slices].mean()), abs=0.02)
    assert found.picture == pytest.approx(float(values.mean()), abs=0.02)
    assert found.peak >= found.inside
    outer = Box(256 - 96, 160 - 96, 384 + 96, 320 + 96)
    ring = np.zeros(values.shape, bool)
    ring[outer.slices] = True
    ring[region.box.slices] = False
    assert found.around == pytest.approx(float(values[ring].mean()), abs=0.02)


def test_fine_detail_is_measured_in_levels(network: SaliencyNetwork) -> None:
    smooth = measure(network, half_noise(), "", Region.from_box(Box(10, 40, 50, 90), id="a"))
    rough = measure(network, half_noise(), "", Region.from_box(Box(190, 40, 230, 90), id="b"))
    assert smooth.detail_inside == 0.0
    assert rough.detail_inside > 50.0
    border = measure(network, half_noise(), "", Region.from_box(Box(80, 40, 120, 90), id="c"))
    assert border.detail_inside < border.detail_around


def test_a_region_of_the_whole_picture_has_no_surroundings(network: SaliencyNetwork) -> None:
    image = half_noise()
    found = measure(network, image, "", Region.from_box(Box.of_picture(160, 240), id="r"))
    assert found.around == pytest.approx(found.picture)
    assert found.detail_around == pytest.approx(found.detail_inside)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 3, 2), Box(239, 159, 240, 160), Box(100, 0, 101, 160), Box(0, 0, 240, 160)]
)
def test_any_region_has_finite_features_that_the_model_reads(
    network: SaliencyNetwork, box: Box
) -> None:
    features = zoom_features(network, half_noise(), Region.from_box(box, id="r"))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    opinion = shipped_diagnostician().opinion(features)
    assert 0.0 <= opinion.defect <= 1.0


def test_features_depend_on_the_mask_and_not_on_what_is_far_away(network: SaliencyNetwork) -> None:
    image = half_noise(400, 400)
    box = Box(20, 20, 80, 80)
    whole = zoom_features(network, image, Region.from_box(box, id="r"))
    mask = np.ones((60, 60), bool)
    mask[:, 30:] = False
    part = zoom_features(network, image, Region(id="r", box=box, mask_hw=mask, score=1.0))
    assert not np.allclose(whole, part)
    far = image.copy()
    far[300:, 300:] = 0
    assert np.array_equal(whole, zoom_features(network, far, Region.from_box(box, id="r")))


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        (Box(500, 500, 600, 600), (1000, 1000), Box(460, 460, 640, 640)),
        (Box(0, 0, 100, 100), (1000, 1000), Box(0, 0, 180, 180)),
        (Box(950, 990, 1000, 1000), (1000, 1000), Box(910, 910, 1000, 1000)),
        (Box(0, 10, 300, 60), (80, 300), Box(0, 0, 300, 80)),
    ],
)
def test_the_zoom_is_a_square_moved_into_the_picture(
    box: Box, size: tuple[int, int], expected: Box
) -> None:
    zoomed = zoom_box(box, *size)
    assert zoomed == expected
    assert ZOOM_CONTEXT == 1.8


def test_tiny_regions_are_not_blown_up_without_end() -> None:
    assert zoom_box(Box(500, 500, 504, 504), 1000, 1000).width == 75
