"""The service in this process, with real worker processes that see one shade of blue."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retoucher.config import load_settings
from retoucher.serve.settings import ServiceSettings
from tests.batch.pictures import CONFIG, PLUGIN

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

URL = "http://127.0.0.1:8765"

Serving = Callable[[ServiceSettings], "TestClient"]


def png(image: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def data_url(image: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def upload(image: NDArray[np.uint8], name: str = "a.png") -> dict[str, tuple[str, bytes, str]]:
    return {"image": (name, png(image), "image/png")}


@pytest.fixture(scope="session")
def plugin_path() -> Iterator[Path]:
    sys.path.insert(0, str(PLUGIN))  # workers inherit it
    yield PLUGIN
    sys.path.remove(str(PLUGIN))


@pytest.fixture(scope="module")
def serving(plugin_path: Path) -> Iterator[Serving]:
    pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
    pytest.importorskip("httpx2", reason="the test client needs httpx2")
    from fastapi.testclient import TestClient

    from retoucher.serve.app import create_app
    from retoucher.serve.work import worker

    with ExitStack() as stack:

        def start(settings: ServiceSettings) -> TestClient:
            app = create_app(settings, worker(load_settings(CONFIG), settings.max_pixels))
            client = TestClient(app, base_url=URL, raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture(scope="module")
def client(serving: Serving) -> TestClient:
    return serving(ServiceSettings(max_image_bytes=200_000, max_pixels=100_000))
