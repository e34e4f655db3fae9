"""What training needs beyond the core, checked before it is imported."""

from __future__ import annotations

from importlib.util import find_spec

from retoucher.errors import MissingDependencyError


def need(module: str, what_for: str, extra: str = "train") -> None:
    """Stops with one clear line where a package is missing.

    Args:
        module: as it is imported.
        what_for: what it is needed for, the beginning of a sentence.
        extra: of this package that brings it.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if find_spec(module) is None:
        raise MissingDependencyError(
            f"{what_for} needs {module}, which is not installed: "
            f"pip install 'agentic-retoucher[{extra}]'"
        )
