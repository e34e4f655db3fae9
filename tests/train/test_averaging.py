"""The mean of several runs' weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from retoucher.errors import InputError  # noqa: E402
from retoucher.train.averaging import mean_weights  # noqa: E402


def test_the_mean_is_taken_in_float64_and_keeps_each_type():
    rng = torch.Generator().manual_seed(3)
    states = [
        {"w": torch.rand(2, 3, generator=rng), "h": torch.rand(4, generator=rng).half(), "n": n}
        for n in (torch.tensor(7), torch.tensor(9))
    ]
    mean = mean_weights(states)
    assert torch.equal(mean["w"], ((states[0]["w"].double() + states[1]["w"]) / 2).float())
    assert mean["h"].dtype == torch.float16
    assert int(mean["n"]) == 7


def test_the_mean_of_one_is_a_copy():
    state = {"w": torch.ones(2)}
    mean = mean_weights([state])
    mean["w"].zero_()
    assert torch.equal(state["w"], torch.ones(2))


@pytest.mark.parametrize("other", [{"w": torch.ones(3)}, {"v": torch.ones(2)}])
def test_networks_of_other_shapes_have_no_mean(other: dict[str, torch.Tensor]):
    with pytest.raises(InputError, match="shapes"):
        mean_weights([{"w": torch.ones(2)}, other])
