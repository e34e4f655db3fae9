from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from retoucher.domain.saliency import SaliencyMap


@given(
    values=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
        elements={"min_value": 0, "max_value": 1},
    )
)
def test_values_stay_raw(values: np.ndarray) -> None:
    saliency = SaliencyMap(values)
    assert saliency.values_hw is values
    assert saliency.peak == max(values.ravel().tolist(), default=0.0)


def test_zeros() -> None:
    saliency = SaliencyMap.zeros(3, 5)
    assert saliency.values_hw.shape == (3, 5)
    assert saliency.peak == 0


@pytest.mark.parametrize("wrong", [-0.001, 1.001, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 3)])
def test_a_value_out_of_range_is_refused(wrong: float, place: tuple[int, int]) -> None:
    values = np.full((3, 4), 0.5, np.float32)
    values[place] = wrong
    with pytest.raises(ValueError, match=r"\[0, 1\] and are finite"):
        SaliencyMap(values)


@pytest.mark.parametrize(
    "values",
    [np.zeros((2, 2)), np.zeros(4, np.float32), np.zeros((2, 2, 1), np.float32)],
    ids=["float64", "one axis", "three axes"],
)
def test_shape_and_dtype_are_checked(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"float32 \(H, W\)"):
        SaliencyMap(values)
