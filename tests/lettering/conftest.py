import pytest

from retoucher.lettering.reading import TextReader


@pytest.fixture(scope="session")
def reader() -> TextReader:
    return TextReader()
