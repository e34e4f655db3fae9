"""`retouch demo`: what it leaves in its folder, and that it says where to look."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def shipped() -> list[str]:
    folder = resources.files("retoucher") / "demo"
    return sorted(p.name for p in folder.iterdir() if p.name.endswith((".png", ".jpg")))


def test_it_leaves_each_picture_its_result_and_one_page(
    tmp_path: Path, scripted: Callable[..., Command]
):
    said = scripted()("demo", "-o", tmp_path / "out", "-q")
    assert said.code == 0
    assert said.err == ""
    names = shipped()
    assert names
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for name in names:
        before = tmp_path / "out" / name
        after = before.with_name(f"{before.stem}.retouched{before.suffix}")
        assert after.read_bytes() == before.read_bytes()  # these agents see nothing in them
        assert name in page
        assert name in said.out
    assert str(tmp_path / "out" / "index.html") in said.out


def test_it_may_be_run_again(tmp_path: Path, scripted: Callable[..., Command]):
    for _ in range(2):
        assert scripted()("demo", "-o", tmp_path, "-q").code == 0


@pytest.mark.parametrize("out", ["file", "file/deeper"])
def test_a_file_in_the_way_is_one_line(tmp_path: Path, scripted: Callable[..., Command], out: str):
    (tmp_path / "file").write_text("")
    said = scripted()("demo", "-o", tmp_path / out)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "is no folder" in said.err
