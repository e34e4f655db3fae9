"""`retouch ui` itself: the default agents, the password, and what is said when it cannot start."""

from __future__ import annotations

import socket
import sys
from importlib import resources

import numpy as np
import pytest

from retoucher.cli.main import main
from retoucher.errors import ConfigError, MissingDependencyError
from retoucher.imaging.files import read_picture
from retoucher.ui.desk import Desk
from retoucher.ui.server import make_app
from retoucher.ui.session import Sessions
from retoucher.ui.settings import UiSettings
from tests.ui.conftest import Server
from tests.ui.magenta import retoucher
from tests.ui.test_page import drop, saved


def test_the_command_repairs_a_shipped_picture(browser, open_page) -> None:
    code = "from retoucher.cli.main import main; main(['ui', '--port', '0'])"
    own = Server(["-c", code], {})
    try:
        page = open_page(address=own.address)
        data = (resources.files("retoucher.demo") / "shop_sign.png").read_bytes()
        page.wait_for_selector("#run")
        drop(page, "shop_sign.png", data)
        page.wait_for_selector(".rt-card >> text=BAKREY", timeout=180_000)
        page.locator("#run").click()
        page.wait_for_selector("#repairs .rt-repair", timeout=180_000)
        before, after = read_picture(data), read_picture(saved(page, "Picture (PNG"))
        changed = (before.image_rgb != after.image_rgb).any(axis=2)
        assert 0 < np.count_nonzero(changed) < 0.2 * changed.size
        page.context.close()
    finally:
        own.end()


def test_a_password_stands_before_everything(browser, open_page) -> None:
    own = Server(["-m", "tests.ui.magenta"], {"RETOUCH_UI_PASSWORD": "so secret"})
    try:
        page = open_page(address=own.address)
        page.get_by_label("username").fill("retouch")
        page.get_by_label("password").fill("wrong")
        page.get_by_role("button", name="Login").click()
        page.wait_for_selector("text=Incorrect Credentials")
        assert page.request.get(f"{own.address}/config").status == 401
        page.get_by_label("username").fill("retouch")
        page.get_by_label("password").fill("so secret")
        page.get_by_role("button", name="Login").click()
        page.wait_for_selector("#run")
        page.context.close()
    finally:
        own.end()


def test_an_address_that_is_taken_is_said(capsys) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed (the extra ui)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["ui", "--port", str(port)])
    assert ended.value.code == 2
    assert f"cannot listen at 127.0.0.1 port {port}" in capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "agentic-retoucher\[ui\]"'):
        make_app(Desk(retoucher()), Sessions(60.0), UiSettings())


@pytest.mark.parametrize(
    "bad",
    [{"port": 70000}, {"max_upload_mb": 0}, {"max_megapixels": -1}, {"password": ""}],
)
def test_bad_settings_are_refused(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        UiSettings(**bad)


def test_local_means_this_machine_only() -> None:
    hosts = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.0.4", "example.org")
    assert [UiSettings(host=h).is_local for h in hosts] == [True, True, True, False, False, False]
    assert UiSettings().host == "127.0.0.1"
