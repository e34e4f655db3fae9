"""What is in a data set, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retoucher.data.sample import Sample
from retoucher.domain.taxonomy import taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStats:
    """Counts of a data set.

    Attributes:
        pictures, clean_pictures, with_prompt: number of pictures; of those without a defect; of
            those with a prompt.
        regions, masked_regions, clean_parts: number of each.
        by_category: regions by category, in the taxonomy's order.
        by_severity: regions by severity 1, 2 and 3.
        by_part: clean parts by kind.
        by_source: pictures by source.
        by_dimension: regions by the taxonomy's dimension, in its order.
        category_share: share of each category among the regions, 0 to 1.
        regions_per_picture: mean over all pictures, and over those with a region; None without
            pictures or regions.
        most_regions: of one picture.
        without_words: regions that nobody described.
        region_side: 10th, 50th and 90th percentile of a region's side (root of its box's area) over
            the picture's (root of its area); None without regions.
        words: mean number of words of a description, without those that have none; None where all
            are empty.
        words_spread: 10th, 50th and 90th percentile of that number.
        megapixels: 10th, 50th and 90th percentile of the picture's size.
    """

    pictures: int
    clean_pictures: int
    with_prompt: int
    regions: int
    masked_regions: int
    clean_parts: int
    by_category: Mapping[str, int]
    by_severity: Mapping[int, int]
    by_dimension: Mapping[str, int]
    category_share: Mapping[str, float]
    regions_per_picture: tuple[float, float] | None
    most_regions: int
    without_words: int
    by_part: Mapping[str, int]
    by_source: Mapping[str, int]
    region_side: tuple[float, float, float] | None
    words: float | None
    words_spread: tuple[float, float, float] | None
    megapixels: tuple[float, float, float] | None


def dataset_stats(samples: Sequence[Sample]) -> DatasetStats:
    """Count a data set; loads no picture."""
    regions = [(s, r) for s in samples for r in s.regions]
    categories = Counter(r.category for _, r in regions)
    order = [*taxonomy(), *sorted(set(categories) - set(taxonomy()))]
    sides = [(r.box.area_px / (s.width * s.height)) ** 0.5 for s, r in regions]
    severities = Counter(r.severity for _, r in regions)
    by_category = {name: categories[name] for name in order if categories[name]}
    dimensions: Counter[str] = Counter()
    for name, count in by_category.items():
        dimensions[taxonomy()[name].dimension if name in taxonomy() else name] += count
    lengths = [len(r.description.split()) for _, r in regions if r.description.strip()]
    marked = [len(s.regions) for s in samples if s.regions]
    return DatasetStats(
        pictures=len(samples),
        clean_pictures=sum(s.is_clean for s in samples),
        with_prompt=sum(bool(s.prompt) for s in samples),
        regions=len(regions),
        masked_regions=sum(r.mask_hw is not None for _, r in regions),
        clean_parts=sum(len(s.clean_parts) for s in samples),
        by_category=by_category,
        by_severity={k: severities[k] for k in (1, 2, 3)},
        by_dimension=dict(dimensions),
        category_share={n: round(c / len(regions), 4) for n, c in by_category.items()},
        regions_per_picture=(
            (round(len(regions) / len(samples), 2), round(len(regions) / len(marked), 2))
            if marked
            else None
        ),
        most_regions=max(marked, default=0),
        without_words=len(regions) - len(lengths),
        by_part=dict(Counter(p.part for s in samples for p in s.clean_parts).most_common()),
        by_source=dict(Counter(s.source for s in samples).most_common()),
        region_side=_percentiles(sides),
        words=float(np.mean(lengths)) if lengths else None,
        words_spread=_percentiles(lengths),
        megapixels=_percentiles([s.width * s.height / 1e6 for s in samples]),
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    low, middle, high = np.percentile(values, [10, 50, 90]).tolist()
    return round(low, 4), round(middle, 4), round(high, 4)
