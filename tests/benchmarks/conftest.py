"""Benchmarks are scripts beside the package: their folder goes on the path for these tests."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture(scope="session")
def small_set(tmp_path_factory):
    """The first pictures of both halves, made without the pool, and their folder."""
    pytest.importorskip("openpeople", reason="needs the extra bench")
    pytest.importorskip("skimage", reason="needs the extra bench")
    from lettering_set import make_set
    from lettering_set.fonts import BenchFontsMissingError

    folder = tmp_path_factory.mktemp("lettering")
    try:
        return folder, make_set(folder, None, 7, limit_per_split=6)
    except BenchFontsMissingError as error:
        pytest.skip(str(error))
