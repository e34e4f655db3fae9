"""Without the extra: importing and naming a tool is free, using it says what to install."""

from __future__ import annotations

import subprocess
import sys

_TRY = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"diffusers", "torch", "transformers"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import numpy as np
from tests.tools.diffusers.asks import ask
from retoucher.errors import MissingDependencyError
from retoucher.tools.diffusers import flux_fill, flux_kontext, flux2_klein, any_repository
from retoucher.tools.diffusers import qwen_image_edit, stable_diffusion
tool = flux_fill.FluxFillTool()
assert tool.spec.extra == "diffusers" and tool.info.name == "flux-fill"
try:
    tool.edit(ask())
except MissingDependencyError as error:
    print(error)
"""


def test_without_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TRY], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'agentic-retoucher[diffusers]'" in done.stdout
