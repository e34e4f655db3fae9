"""The review page in a real browser, as a reviewer uses it, opened as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from retoucher.batch.decisions import read_decisions
from retoucher.batch.journal import HOME
from retoucher.cli.main import main
from tests.batch.pictures import CONFIG, PLUGIN
from tests.batch.test_review import folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("review")
    batch = ["batch", str(folder(root / "in")), str(root / "out"), "--config", str(CONFIG)]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLUGIN)
        with pytest.raises(SystemExit) as stop:
            main([*batch, "--workers", "1", "--review", "--quiet"])
    assert stop.value.code == 0
    return root / "out"


@pytest.fixture
def open_page(browser: Any, out: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page; an error in it, or a request to anywhere but files, fails the test."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def opened(width: int = 1280, height: int = 900) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "blob:")) else wrong.append(r.url),
        )
        page.goto((out / HOME / "review.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def test_decide_by_keyboard_draw_save_and_carry_out(open_page: Callable[..., Any], out: Path):
    page = open_page()
    assert page.locator("#count").inner_text() == "0 of 3 places decided"
    assert page.locator("h1").inner_text() == "double.png"
    assert page.locator("blockquote").inner_text() == "a cup"
    loaded = "images => images.every(i => i.complete && i.naturalWidth > 0)"
    page.wait_for_function(f"({loaded})([...document.images])")
    page.keyboard.press("r")  # the first place; the next one is current
    page.keyboard.press("k")
    assert page.locator(".card.gone.now").count() == 1
    page.get_by_label("what is wrong").first.select_option("hand_shape")
    page.get_by_label("in words").first.fill("six fingers")
    page.get_by_label("in words").first.press("Tab")

    page.keyboard.press("m")
    spot = page.locator(".whole").bounding_box()
    page.mouse.move(spot["x"] + 0.1 * spot["width"], spot["y"] + 0.7 * spot["height"])
    page.mouse.down()
    for x, y in ((0.3, 0.7), (0.3, 0.9), (0.1, 0.9)):
        page.mouse.move(spot["x"] + x * spot["width"], spot["y"] + y * spot["height"], steps=3)
    page.mouse.up()
    page.get_by_label("missed defect 1").select_option("limb_count")
    page.get_by_label("or type a box").fill("50 2 60 12")
    page.get_by_label("or type a box").press("Enter")
    assert page.locator("polygon.drawn").count() == 2
    page.get_by_role("button", name="Remove").nth(1).click()

    page.keyboard.press("j")
    page.keyboard.press("n")  # all of this picture is decided: the next one comes
    assert page.locator("h1").inner_text() == "s/<b>.png"
    page.get_by_role("button", name="Accept").click()
    assert page.locator("#count").inner_text() == "3 of 3 places decided"
    page.reload()  # nothing is lost
    assert page.locator("#count").inner_text() == "3 of 3 places decided"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions").click()
    assert download.value.suggested_filename == "decisions.json"
    file = out.parent / "decisions.json"
    download.value.save_as(file)

    double, single = read_decisions(file)
    first, second = double.places
    assert (first.verdict, first.category, first.description) == (
        "reject", "hand_shape", "six fingers",
    )  # fmt: skip
    assert (second.verdict, second.category) == ("no_defect", None)
    (missed,) = double.missed
    assert missed.category == "limb_count"
    xs, ys = zip(*missed.outline_xy, strict=True)
    assert (min(xs), max(xs)) == pytest.approx((6.4, 19.2), abs=0.7)
    assert (min(ys), max(ys)) == pytest.approx((33.6, 43.2), abs=0.7)
    assert [place.verdict for place in single.places] == ["accept"]

    with pytest.raises(SystemExit) as stop:
        main(["review", str(out.parent / "in"), str(out), str(file), "--quiet"])
    assert stop.value.code == 0
    given = (out.parent / "in" / "double.png").read_bytes()
    assert (out / "double.png").read_bytes() == given

    other = open_page(width=390, height=800)  # a new visitor sees what was carried out
    assert other.locator("#count").inner_text() == "3 of 3 places decided"
    assert other.evaluate("document.documentElement.scrollWidth") <= 390


def test_decisions_are_opened_again(open_page: Callable[..., Any], out: Path, tmp_path: Path):
    page = open_page()
    page.evaluate("localStorage.clear()")
    page.get_by_label("Show").select_option("repaired")
    page.keyboard.press("ArrowRight")
    assert page.locator("h1").inner_text() == "s/<b>.png"
    page.keyboard.press("u")
    run = page.evaluate("data.pictures[1].run")
    places = [{"id": page.evaluate("data.pictures[1].places[0].id"), "verdict": "reject"}]
    file = tmp_path / "d.json"
    pictures = [{"file": "s/<b>.png", "run": run, "places": places}]
    file.write_text(json.dumps({"schema_version": 1, "pictures": pictures}))
    page.set_input_files("#open", file)
    page.locator(".card.gone").wait_for()
    assert page.get_by_role("button", name="Reject").get_attribute("aria-pressed") == "true"
