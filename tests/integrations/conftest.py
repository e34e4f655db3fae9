"""The tiny diffusers pipelines, where the extra [diffusers] is installed."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("diffusers") and find_spec("torch"):
    from tests.tools.diffusers.tools import repositories

    __all__ = ["repositories"]
