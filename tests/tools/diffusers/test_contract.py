"""Every diffusion tool, on a tiny pipeline of its real class: the contract of tools."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

from retoucher.testing import assert_tool_contract
from tests.tools.diffusers.tools import TOOLS, AnyTool


@pytest.mark.parametrize("name", TOOLS)
def test_contract(name: str, make: Callable[..., AnyTool]) -> None:
    tool = make(name)
    assert tool.spec.name == name
    assert tool.spec.opt_in
    assert tool.spec.extra == "diffusers"
    assert_tool_contract(tool)
