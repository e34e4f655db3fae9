"""A real browser against a real server process; skipped, with the reason, where one is missing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import util
from pathlib import Path

import pytest

STEP_MS = 60_000


class Server:
    """A page's server in its own process, and the folder in which it keeps files."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="retouch-ui-test-"))
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "TMPDIR": str(self.folder)},
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.match(r"http://\S+", line)
        assert found, f"the server did not say where it listens: {line!r}"
        self.address = found[0]

    def files(self) -> list[str]:
        """What lies in its temporary folder."""
        return sorted(
            str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()
        )

    def end(self) -> int:
        """As Ctrl-C does; the exit status."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.communicate()
            left = [file for file in self.files() if file.startswith("retouch-ui-")]
            shutil.rmtree(self.folder)
            assert not left, f"files were left behind: {left}"


@pytest.fixture(scope="session")
def server(browser) -> Iterator[Server]:
    """The page over the agents of `magenta`."""
    if util.find_spec("gradio") is None:
        pytest.skip("gradio is not installed (the extra ui)")
    server = Server(["-m", "tests.ui.magenta"], {})
    yield server
    assert server.end() == 0


@pytest.fixture
def open_page(browser, server):
    """Opens the page for one more user; whatever it asks from outside fails the test."""
    contexts, outside = [], []

    def opened(width: int = 1280, height: int = 900, address: str = server.address):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(STEP_MS)

        def see(request) -> None:
            if not request.url.startswith((address, "data:", "blob:")):
                outside.append(request.url)

        page.on("request", see)
        page.on("pageerror", lambda error: outside.append(f"script error: {error}"))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not outside
