from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import ConfigError
from retoucher.imaging.regions import RegionSettings, dilate_region, find_regions, significant

PLAIN = RegionSettings(
    open_radius=0,
    close_radius=0,
    min_area_share=0,
    drop_size=0,
    dilation=0,
    merge_distance=0,
    max_regions=10**6,
)  # threshold and components alone


def blank(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width), np.float32)


def plain(**changes: float) -> RegionSettings:
    fields = {name: getattr(PLAIN, name) for name in RegionSettings.__slots__}
    return RegionSettings(**(fields | changes))


def reference_hysteresis(values: np.ndarray, low: float, high: float) -> list[np.ndarray]:
    """By flood fill from every seed, the slow and obvious way."""
    low, high = np.float32(low), np.float32(high)
    seen = np.zeros(values.shape, bool)
    found = []
    for seed in zip(*np.nonzero(values >= high), strict=True):
        if seen[seed]:
            continue
        part = np.zeros(values.shape, bool)
        stack = [seed]
        while stack:
            y, x = stack.pop()
            inside = 0 <= y < values.shape[0] and 0 <= x < values.shape[1]
            if not inside or part[y, x] or values[y, x] < low:
                continue
            part[y, x] = True
            stack += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        seen |= part
        found.append(part)
    return found


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.05, 0.3, 0.5]),
)
def test_hysteresis_is_exact(height: int, width: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.random((height, width), dtype=np.float32)
    values[rng.random(values.shape) > share] = 0
    settings_ = plain(threshold=0.8, threshold_low=0.3)
    got = find_regions(SaliencyMap(values), settings_)
    expected = reference_hysteresis(values, 0.3, 0.8)
    masks = {mask.tobytes() for mask in expected}
    assert {r.full_mask(height, width).tobytes() for r in got} == masks
    assert len(got) == len(expected)
    for region in got:
        assert region.score == values[region.full_mask(height, width)].max()


def test_a_part_inside_the_box_of_another_is_found_once() -> None:
    values = blank(200, 200)
    values[10:190, 10:190] = 0.9
    values[20:180, 20:180] = 0  # a ring
    values[90:110, 90:110] = 0.8
    values[95, 100:110] = 0  # a notch that closing would fill
    ring, inner = find_regions(SaliencyMap(values), PLAIN)
    assert np.array_equal(ring.full_mask(200, 200), values == np.float32(0.9))
    assert np.array_equal(inner.full_mask(200, 200), values == np.float32(0.8))


region_settings = st.builds(
    RegionSettings,
    threshold=st.sampled_from([0.3, 0.4, 0.9]),
    open_radius=st.sampled_from([0.0, 1.5, 30.0]),
    close_radius=st.sampled_from([0.0, 4.0, 60.0]),
    min_area_share=st.sampled_from([0.0, 5e-5, 0.01]),
    max_area_share=st.sampled_from([0.5, 1.0]),
    drop_size=st.sampled_from([0.0, 10.0, 100.0]),
    dilation=st.sampled_from([0.0, 8.0, 60.0]),
    merge_distance=st.sampled_from([0.0, 8.0, 90.0]),
    max_regions=st.integers(1, 6),
)


@st.composite
def maps(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    values = blank(height, width)
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        w, h = draw(st.integers(1, 80)), draw(st.integers(1, 80))
        values[y : y + h, x : x + w] = draw(st.sampled_from([0.2, 0.3, 0.5, 0.95, 1.0]))
    blur = draw(st.sampled_from([0, 2, 8]))
    if blur:
        values = cv2.GaussianBlur(values, (0, 0), blur).reshape(height, width)
    return np.clip(values, 0, 1)


@settings(max_examples=300, deadline=None)
@given(values=maps(), config=region_settings)
def test_laws_of_regions(values: np.ndarray, config: RegionSettings) -> None:
    saliency = SaliencyMap(values)
    before = values.tobytes()
    regions = find_regions(saliency, config)
    assert values.tobytes() == before
    assert len(regions) <= config.max_regions
    assert significant(saliency, config) == bool((values >= np.float32(config.threshold)).any())
    if regions:
        assert significant(saliency, config)
    assert [r.id for r in regions] == [f"r{i}" for i in range(1, len(regions) + 1)]
    ranks = [(-r.score, -r.area_px, r.box.y0, r.box.x0) for r in regions]
    assert ranks == sorted(ranks)
    covered = np.zeros(values.shape, int)
    for region in regions:
        mask = region.full_mask(*values.shape)
        covered += mask
        assert region.score >= np.float32(config.threshold)
        assert region.score == values[mask].max()
        assert Region.from_mask(mask, id="x", score=1.0).box == region.box
    assert covered.max(initial=0) <= 1
    again = find_regions(SaliencyMap(values.copy()), config)
    assert [(r.box, r.mask_hw.tobytes(), r.score) for r in again] == [
        (r.box, r.mask_hw.tobytes(), r.score) for r in regions
    ]


@settings(max_examples=60, deadline=None)
@given(values=maps(), config=region_settings)
def test_every_strong_pixel_is_covered_when_nothing_is_dropped(
    values: np.ndarray, config: RegionSettings
) -> None:
    keep_all = RegionSettings(
        threshold=config.threshold,
        open_radius=config.open_radius,
        close_radius=config.close_radius,
        dilation=config.dilation,
        merge_distance=config.merge_distance,
        min_area_share=0,
        drop_size=0,
        max_regions=10**6,
    )
    covered = np.zeros(values.shape, bool)
    for region in find_regions(SaliencyMap(values), keep_all):
        covered |= region.full_mask(*values.shape)
    assert covered[values >= np.float32(config.threshold)].all()


def test_a_low_map_has_no_region_however_it_is_shaped() -> None:
    values = blank(500, 500)
    values[100:200, 100:200] = 0.39  # min-max would make this a 1
    saliency = SaliencyMap(values)
    assert not significant(saliency, RegionSettings())
    assert find_regions(saliency, RegionSettings()) == ()
    values[150, 150] = 0.4
    assert significant(SaliencyMap(values), RegionSettings())
    (region,) = find_regions(SaliencyMap(values), RegionSettings())
    assert region.box.contains(Box(100, 100, 200, 200))


def test_a_small_peak_on_a_wide_weak_part_survives_opening() -> None:
    values = blank(1024, 1024)
    values[300:360, 300:360] = 0.3
    values[330, 330] = 0.9
    (region,) = find_regions(SaliencyMap(values), RegionSettings(open_radius=10))
    assert region.score == np.float32(0.9)


def test_opening_cuts_a_whisker_off_and_drops_what_hangs_on_it() -> None:
    values = blank(1024, 1024)
    values[300:360, 300:360] = 0.9
    values[328:330, 360:500] = 0.3  # whisker
    values[300:360, 500:560] = 0.3  # a weak part without a peak
    (region,) = find_regions(SaliencyMap(values), plain(open_radius=4))
    assert region.mask_hw[:, :60].all()
    assert region.box.x1 <= 362  # a disc reaches a little into the whisker's root
    (region,) = find_regions(SaliencyMap(values), PLAIN)
    assert region.box == Box(300, 300, 560, 360)


def test_opening_leaves_a_part_at_the_pictures_border() -> None:
    values = blank(1024, 1024)
    values[:5, 300:400] = 0.3  # 5 px of something that goes on outside
    values[2, 350] = 0.9
    (region,) = find_regions(SaliencyMap(values), plain(open_radius=4))
    assert region.box.y1 == 5
    assert region.box.width > 90


def test_closing_fills_a_hole_and_stays_in_the_box() -> None:
    values = blank(1024, 1024)
    values[300:360, 300:360] = 0.9
    values[328:332, 328:332] = 0
    values[300:304, 340:342] = 0
    (region,) = find_regions(SaliencyMap(values), plain(close_radius=4))
    assert region.box == Box(300, 300, 360, 360)
    assert region.mask_hw[10:].all()
    assert region.mask_hw[1:4, 40:42].all()  # a disc dips a little into the notch


def test_dilation_is_a_disc_clipped_to_the_picture() -> None:
    values = blank(1024, 1024)
    values[500, 500] = values[0, 0] = 0.9
    first, second = find_regions(SaliencyMap(values), plain(dilation=8))
    assert first.box == Box(492, 492, 509, 509)
    yy, xx = np.ogrid[-8:9, -8:9]
    exact = yy**2 + xx**2 <= 64
    assert (first.mask_hw != exact).sum() <= 8  # OpenCV's distance is off by up to 2%
    assert second.box == Box(0, 0, 9, 9)


@pytest.mark.parametrize(("gap", "count"), [(40, 2), (16, 2), (15, 1), (0, 1)])
def test_near_masks_merge(gap: int, count: int) -> None:
    values = blank(1024, 1024)
    values[300:340, 300:340] = 0.9
    values[300:340, 340 + gap : 380 + gap] = 0.8
    regions = find_regions(SaliencyMap(values), plain(merge_distance=15))
    assert len(regions) == count
    if count == 1:
        assert regions[0].mask_hw[20].all()  # the gap belongs to it
        assert regions[0].score == np.float32(0.9)


def test_merging_looks_at_masks_not_at_boxes() -> None:
    values = blank(1024, 1024)
    steps = np.arange(300)
    for d in range(12):
        values[200 + steps, 200 + steps + d] = 0.9  # a diagonal
    values[210:240, 440:470] = 0.8  # in the corner of the diagonal's box, far from it
    assert len(find_regions(SaliencyMap(values), plain(merge_distance=30))) == 2
    assert len(find_regions(SaliencyMap(values), plain(merge_distance=170))) == 1


def test_dilated_masks_that_meet_become_one() -> None:
    values = blank(1024, 1024)
    values[300:340, 300:340] = 0.9
    values[300:340, 352:392] = 0.9
    assert len(find_regions(SaliencyMap(values), plain(dilation=4))) == 2
    assert len(find_regions(SaliencyMap(values), plain(dilation=7))) == 1


def test_small_and_large_pieces_go() -> None:
    values = blank(1000, 1000)
    values[100:109, 100:109] = 0.9  # both sides under 10
    values[300:304, 300:400] = 0.9  # thin but long
    values[500:900, 500:900] = 0.9
    kept = find_regions(SaliencyMap(values), plain(drop_size=10))
    assert {r.box for r in kept} == {Box(300, 300, 400, 304), Box(500, 500, 900, 900)}
    kept = find_regions(SaliencyMap(values), plain(min_area_share=0.0004))
    assert {r.box for r in kept} == {Box(300, 300, 400, 304), Box(500, 500, 900, 900)}
    kept = find_regions(SaliencyMap(values), plain(min_area_share=0.000401, max_area_share=0.1))
    assert kept == ()


def test_top_k_and_order() -> None:
    values = blank(1024, 1024)
    for i, (x, size, level) in enumerate([(100, 20, 0.5), (300, 30, 0.9), (500, 40, 0.9)]):
        values[200 + i : 200 + i + size, x : x + size] = level
    values[600:630, 300:330] = 0.9
    regions = find_regions(SaliencyMap(values), PLAIN)
    assert [r.box.x0 for r in regions] == [500, 300, 300, 100]
    assert [r.box.y0 for r in regions] == [202, 201, 600, 200]
    top = find_regions(SaliencyMap(values), plain(max_regions=2))
    assert [(r.id, r.box) for r in top] == [(r.id, r.box) for r in regions[:2]]


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_the_same_picture_at_another_size_gives_the_same_regions(factor: float) -> None:
    yy, xx = np.mgrid[:1024, :1024].astype(np.float32)
    values = blank(1024, 1024)
    for x, y, r in [(200, 300, 30), (280, 300, 25), (700, 800, 60), (500, 100, 4)]:
        values = np.maximum(values, np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * r * r)))
    side = int(1024 * factor)
    other = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
    small = find_regions(SaliencyMap(values), RegionSettings())
    large = find_regions(SaliencyMap(np.clip(other, 0, 1)), RegionSettings())
    assert len(small) == len(large) >= 3
    for a, b in zip(
        sorted(small, key=lambda r: r.box), sorted(large, key=lambda r: r.box), strict=True
    ):
        off = np.abs(np.array(b.box.as_xyxy()) / factor - np.array(a.box.as_xyxy()))
        assert off.max() <= 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (17, 16), (0, 0), (0, 5)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    full = SaliencyMap(np.ones(shape, np.float32))
    regions = find_regions(full, RegionSettings())
    assert [r.mask_hw.shape for r in regions] == ([shape] if 0 not in shape else [])
    assert find_regions(SaliencyMap.zeros(*shape), RegionSettings()) == ()


def test_a_4k_map_with_salt_noise_keeps_its_regions() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((4096, 4096), dtype=np.float32) > 0.9995).astype(np.float32)
    values[1000:1300, 2000:2500] = 1
    (region,) = find_regions(SaliencyMap(values), RegionSettings())
    assert region.box.contains(Box(2000, 1000, 2500, 1300))
    assert region.box.area_px < 2 * 300 * 500


def test_dilate_region_grows_a_drawn_mask_like_a_found_one() -> None:
    values = blank(1024, 1024)
    values[300:340, 0:60] = 0.9
    drawn = Region.from_box(Box(0, 300, 60, 340), id="mine", score=1.0)
    (found,) = find_regions(SaliencyMap(values), plain(dilation=8))
    grown = dilate_region(drawn, 1024, 1024, RegionSettings())
    assert grown.id == "mine"
    assert grown.box == found.box == Box(0, 292, 68, 348)
    assert np.array_equal(grown.mask_hw, found.mask_hw)


def test_default_low_threshold() -> None:
    assert RegionSettings(threshold=0.5).low == pytest.approx(0.3)
    assert RegionSettings(threshold=0.5, threshold_low=0.5).low == 0.5


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"threshold": 0.0}, r"threshold must lie in \(0, 1\], got 0.0"),
        ({"threshold": 1.1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold_low": 0.5}, "threshold_low"),
        ({"threshold_low": 0.0}, "threshold_low"),
        ({"open_radius": -1.0}, "open_radius"),
        ({"dilation": float("inf")}, "dilation"),
        ({"merge_distance": float("nan")}, "merge_distance"),
        ({"min_area_share": 0.5, "max_area_share": 0.4}, "min_area_share"),
        ({"max_area_share": 1.5}, "max_area_share"),
        ({"max_regions": 0}, "max_regions"),
        ({"reference_size_px": 0}, "reference_size_px"),
    ],
)
def test_settings_are_checked(kwargs: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        RegionSettings(**kwargs)  # type: ignore[arg-type]
