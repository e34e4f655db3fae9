"""The page as its users have it: in a browser, from the upload to the download."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from retoucher.domain.codec import trace_from_json
from retoucher.domain.geometry import Box
from retoucher.domain.trace import StopReason
from retoucher.imaging.files import read_picture
from tests.ui.magenta import PROMPT, wall

A, B = Box(30, 30, 80, 70), Box(200, 120, 260, 180)


def drop(page, name: str, data: bytes) -> None:
    page.set_input_files(
        "#drop input[type=file]", {"name": name, "mimeType": "image/png", "buffer": data}
    )


def upload(page, *boxes: Box, name: str = "wall.png", **how) -> bytes:
    """Drop a wall and wait until it was looked at."""
    page.wait_for_selector("#run")
    data = wall(*boxes, **how)
    drop(page, name, data)
    page.wait_for_selector(".rt-card" if boxes else ".rt-nothing")
    return data


def repair(page) -> None:
    page.get_by_role("button", name=re.compile("^Repair")).click()
    page.wait_for_selector("#compare .rt-stage")


def saved(page, label: str) -> bytes:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=label).click()
    return waiting.value.path().read_bytes()


def message(page) -> str:
    return page.locator(".toast-body").first.inner_text()


def test_from_upload_to_download(open_page) -> None:
    page = open_page()
    data = upload(page, A, B)
    assert page.locator("#prompt textarea").input_value() == PROMPT
    assert "a1111" in page.locator("#source").inner_text()
    cards = page.locator(".rt-card")
    assert cards.count() == 2
    assert "broken texture" in cards.first.inner_text()
    assert "90% sure" in cards.first.inner_text()
    assert page.locator("#stage svg path").count() == 2

    repair(page)
    assert "2 repaired, 0 left" in page.locator("#progress").inner_text()
    assert page.locator("#repairs .rt-repair").count() == 2
    before = read_picture(data)
    after = read_picture(saved(page, "Picture (PNG"))
    trace = trace_from_json(json.loads(saved(page, "Record")))
    outside = np.ones(before.image_rgb.shape[:2], bool)
    for edit in trace.accepted:
        outside[edit.box.slices] = False
    assert np.array_equal(after.image_rgb[outside], before.image_rgb[outside])
    assert not np.array_equal(after.image_rgb[A.slices], before.image_rgb[A.slices])
    assert after.metadata.get("Author") == "somebody"
    assert PROMPT in (after.metadata.get("parameters") or "")
    assert (trace.stop, trace.prompt_source) == (StopReason.CONVERGED, "a1111")
    assert trace.picture.file_name == "wall.png"
    assert b"<html" in saved(page, "Report")


def test_a_rejected_repair_gets_its_original_pixels_back(open_page) -> None:
    page = open_page()
    data = upload(page, A, B)
    repair(page)
    boxes = page.locator("#keep input[type=checkbox]")
    assert boxes.count() == 2
    boxes.nth(0).uncheck()
    page.wait_for_selector("#repairs .chip.bad")
    before, after = read_picture(data), read_picture(saved(page, "Picture (PNG"))
    trace = trace_from_json(json.loads(saved(page, "Record")))
    (kept,) = trace.accepted
    same = (before.image_rgb == after.image_rgb).all(axis=2)
    assert not same[kept.box.slices].all()
    same[kept.box.slices] = True
    assert same.all()
    boxes.nth(1).uncheck()
    page.wait_for_selector("text=The result is the input, unchanged.")
    assert saved(page, "Picture (PNG") == data


def test_only_what_is_ticked_is_repaired_and_the_masks_say_so(open_page) -> None:
    page = open_page()
    data = upload(page, A, B)
    page.get_by_label("Repair r1").uncheck()
    page.get_by_role("button", name="Repair 1 place").wait_for()
    white = np.asarray(Image.open(io.BytesIO(saved(page, "Mask (PNG)")))) > 0
    rows = json.loads(saved(page, "Mask (COCO)"))["annotations"]
    assert len(rows) == 1
    repair(page)
    before, after = read_picture(data), read_picture(saved(page, "Picture (PNG"))
    changed = (before.image_rgb != after.image_rgb).any(axis=2)
    assert changed.any()
    assert not changed[~white].any()


def repair_slowly(page) -> None:
    """Begin a run whose first edit takes minutes."""
    page.get_by_role("button", name="Tools and preferences").click()
    page.get_by_label("Never use these").click()
    page.get_by_role("option", name=re.compile("^fill:")).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^Repair")).click()
    page.wait_for_selector("#progress >> text=repairing r1 with slow")


def test_a_closed_page_stops_its_run_and_the_next_user_is_served(open_page) -> None:
    first, second = open_page(), open_page()
    upload(first, A)
    repair_slowly(first)
    first.context.close()
    upload(second, B)
    repair(second)


def test_stop_ends_the_run_and_keeps_what_is_done(open_page) -> None:
    page = open_page()
    upload(page, A, B)
    repair_slowly(page)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector("#progress >> text=cancelled")
    assert "0 repaired" in page.locator("#progress").inner_text()
    assert page.get_by_role("button", name="Repair 2 places").is_enabled()
    assert page.get_by_role("button", name="Stop", exact=True).is_disabled()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"this is no picture", "PNG, JPEG, WebP"),
        (wall(A)[:400], "picture"),
        (wall(size_wh=(1200, 900))[:200_000], "at most 1 million"),
    ],
    ids=["no picture", "cut off", "too many pixels"],
)
def test_a_bad_file_is_said_and_nothing_breaks(open_page, data: bytes, says: str) -> None:
    page = open_page()
    page.wait_for_selector("#run")
    drop(page, "bad.png", data)
    page.locator(".toast-body").wait_for()
    assert says in message(page)
    upload(page, A)


def test_a_file_that_is_too_large_is_refused(open_page) -> None:
    page = open_page()
    page.wait_for_selector("#run")
    drop(page, "large.png", wall(A) + bytes(1_100_000))
    page.locator(".toast-body").wait_for()
    assert "maximum allowed size of 1.0 mb" in message(page).lower()
    upload(page, A)


def test_nothing_found_then_a_box_by_keyboard(open_page) -> None:
    page = open_page()
    upload(page)
    assert "Nothing was found" in page.locator("#cards").inner_text()
    assert page.get_by_role("button", name="Repair", exact=True).is_disabled()
    page.get_by_role("tab", name="Draw a mask").click()
    page.get_by_label("Or type a box").fill("40 40 90 80")
    page.keyboard.press("Enter")
    page.wait_for_selector(".rt-card >> text=your mask")
    page.get_by_role("button", name="Repair 1 place").click()
    page.locator(".toast-body").wait_for()
    assert "say first what is wrong at m1" in message(page)
    field = page.get_by_label("What is wrong")
    field.fill("malformed hand")
    field.press("Enter")
    page.wait_for_selector(".rt-card >> text=edited by you")
    assert "malformed hand" in page.locator(".rt-card .chip").first.inner_text()
    page.get_by_role("button", name="Repair 1 place").click()
    page.wait_for_selector("#compare .rt-stage")
    trace = trace_from_json(json.loads(saved(page, "Record")))
    assert {d.category for r in trace.rounds for d in r.diagnoses} == {"hand_shape"}
    (reasoner,) = [a for a in trace.agents if a.role == "reasoner"]
    assert reasoner.settings["edited_by_user"] == ["m1"]


def test_a_mask_is_painted_by_hand(open_page) -> None:
    page = open_page(1000, 900)
    upload(page, A)
    page.get_by_role("tab", name="Draw a mask").click()
    surface = page.locator("#editor canvas").first
    surface.wait_for()
    surface.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = surface.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10, steps=3)
    page.mouse.up()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Use this mask").click()
    page.wait_for_selector(".rt-card >> text=your mask")
    assert page.locator(".rt-card").count() == 2


def test_another_threshold_lists_other_places(open_page) -> None:
    page = open_page()
    upload(page, A, B)
    number = page.locator("#threshold input[type=number]")
    number.fill("0.95")
    number.press("Enter")
    page.wait_for_selector(".rt-nothing")
    number.fill("0.5")
    number.press("Enter")
    page.wait_for_selector(".rt-card")
    assert page.locator(".rt-card").count() == 2
    page.get_by_role("button", name="Repair 2 places").wait_for()


def test_two_users_at_once_do_not_mix(open_page) -> None:
    first, second = open_page(), open_page()
    data = {first: upload(first, A, name="one.png"), second: upload(second, B, seed=7)}
    for page in data:
        page.get_by_role("button", name="Repair 1 place").click()
    links = set()
    for page, box, other in ((first, A, B), (second, B, A)):
        page.wait_for_selector("#compare .rt-stage")
        before = read_picture(data[page]).image_rgb
        after = read_picture(saved(page, "Picture (PNG")).image_rgb
        assert (before != after)[box.slices].any()
        assert np.array_equal(before[other.slices], after[other.slices])
        links.add(page.get_by_role("link", name="Record").get_attribute("href"))
    assert len(links) == 2


def test_a_download_needs_the_users_own_token(open_page, server) -> None:
    page = open_page()
    upload(page, A)
    own = page.get_by_role("link", name="Mask (PNG)").get_attribute("href")
    answers = [page.request.get(f"{server.address}/{path}") for path in (own, "files/guess/mask")]
    assert [a.status for a in answers] == [200, 409]
    assert page.request.get(f"{server.address}/{own[:-4]}etc").status == 404
    assert answers[0].headers["cache-control"] == "no-store"
    assert "default-src 'self'" in answers[0].headers["content-security-policy"]


def test_no_uploaded_file_stays_on_the_disk(open_page, server) -> None:
    page = open_page()
    upload(page, A, name="secret-name.png")
    assert not [file for file in server.files() if "secret" in file]


def test_narrow_windows_and_the_keyboard(open_page) -> None:
    page = open_page(400, 800)
    upload(page, A)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
    page.get_by_label("Repair r1").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Repair", exact=True).wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Repair 1 place").focus()
    page.keyboard.press("Enter")
    slider = page.get_by_label("Divide between before and after")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    style = page.locator("#compare .rt-compare").get_attribute("style") or ""
    assert "--x: 55%" in style
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
