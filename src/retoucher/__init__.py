"""Agentic Retoucher: finds, explains, repairs and verifies local defects in generated pictures.

>>> from retoucher import Retoucher
>>> result = Retoucher.from_profile("embedded").fix("picture.png")  # doctest: +SKIP
>>> result.save("picture.retouched.png")  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retoucher.api import Findings, Result, Retoucher
    from retoucher.config import Settings, load_settings
    from retoucher.domain.diagnosis import Diagnosis
    from retoucher.domain.geometry import Box
    from retoucher.domain.plan import Preference
    from retoucher.domain.region import Region
    from retoucher.domain.saliency import SaliencyMap
    from retoucher.domain.trace import Trace
    from retoucher.errors import RetoucherError

__version__ = "0.1.0"

_HOME = {
    "Findings": "api",
    "Result": "api",
    "Retoucher": "api",
    "Settings": "config",
    "load_settings": "config",
    "Diagnosis": "domain.diagnosis",
    "Box": "domain.geometry",
    "Preference": "domain.plan",
    "Region": "domain.region",
    "SaliencyMap": "domain.saliency",
    "Trace": "domain.trace",
    "RetoucherError": "errors",
}

__all__ = [
    "Box",
    "Diagnosis",
    "Findings",
    "Preference",
    "Region",
    "Result",
    "Retoucher",
    "RetoucherError",
    "SaliencyMap",
    "Settings",
    "Trace",
    "load_settings",
]


def __getattr__(name: str) -> object:
    """Public names load their modules at first use, so that `import retoucher` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'retoucher' has no attribute {name!r}")
    return getattr(import_module(f"retoucher.{_HOME[name]}"), name)
