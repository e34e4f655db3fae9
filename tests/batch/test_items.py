"""Which pictures a batch takes, under which names, with which prompts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from retoucher.batch.items import Selection, find_items, read_prompts
from retoucher.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(source: Path, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()):
    items = find_items(source, Selection(include=include, exclude=exclude))
    return [item.name for item in items]


def test_a_folder_and_all_below_it_but_nothing_hidden(tmp_path: Path):
    touch(tmp_path, "b.PNG", "a/x.jpg", "a/b/y.webp", "notes.txt", ".h.png", ".git/z.png")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert names(tmp_path) == ["a/b/y.webp", "a/x.jpg", "b.PNG"]


def test_globs_match_the_name_or_with_a_slash_the_path(tmp_path: Path):
    touch(tmp_path, "a.png", "a.jpg", "raw/a.png", "raw/old/b.png")
    assert names(tmp_path, include=("*.png",)) == ["a.png", "raw/a.png", "raw/old/b.png"]
    assert names(tmp_path, include=("raw/*",)) == ["raw/a.png", "raw/old/b.png"]
    assert names(tmp_path, exclude=("raw/old/*", "*.jpg")) == ["a.png", "raw/a.png"]
    with pytest.raises(InputError, match="holds no picture that is wanted"):
        names(tmp_path, include=("*.gif",))


def test_jsonl_names_pictures_prompts_and_boxes(tmp_path: Path):
    lines = [
        {"file": "b.png", "prompt": "a\u2028cup", "regions": [{"box_xyxy": [1, 2, 3, 4]}]},
        {"file": "sub/../a.png"},
        {"file": "c.png", "prompt": "found by us", "prompt_source": "a1111", "stop": "clean"},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / "list.jsonl").write_text(text + "\n\n", "utf-8")
    first, second, third = find_items(tmp_path / "list.jsonl", Selection())
    assert (first.name, first.path) == ("b.png", tmp_path / "b.png")
    assert (first.prompt, first.boxes) == ("a\u2028cup", ((1, 2, 3, 4),))
    assert (second.name, second.prompt, second.boxes) == ("a.png", None, None)
    assert third.prompt is None  # it is found again, where it was


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file": "/etc/x.png"}', "line 1: /etc/x.png is not below the folder"),
        ('{"file": "../x.png"}', "is not below the folder"),
        ('{"file": "a/../../x.png"}', "is not below the folder"),
        ('{"prompt": "x"}', "line 1: file: Field required"),
        ('{"file": 3}', "line 1: file: Input should be a valid string"),
        ("nonsense", "line 1: JSON: Invalid JSON"),
        ('{"file": "a.png"}\n{"file": "./a.png"}', "line 2: a.png was named before"),
        ('{"file": "a.png", "regions": [{"box_xyxy": [3, 0, 3, 1]}]}', "x0 < x1"),
        ('{"file": "a.png", "regions": [{"box_xyxy": [0, 0, 1]}]}', r"regions.0.box_xyxy"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, words: str):
    (tmp_path / "l.jsonl").write_text(line)
    with pytest.raises(InputError, match=words):
        find_items(tmp_path / "l.jsonl", Selection())


def test_prompts_from_csv(tmp_path: Path):
    touch(tmp_path, "in/a.png", "in/s/b.png", "in/c.png")
    table = tmp_path / "p.csv"
    rows = ('1,a.png,"a sign, ""OPEN""\nin red"', "2,s/b.png,", "3,gone.png,x")
    table.write_text("\n".join(("id,file,prompt", *rows)) + "\n")
    items = find_items(tmp_path / "in", Selection(), table)
    assert {item.name: item.prompt for item in items} == {
        "a.png": 'a sign, "OPEN"\nin red', "s/b.png": "", "c.png": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,prompt\na.png,x\n", "must name the columns"),
        ("file,prompt\n", "holds no prompt"),
        ("file,prompt\na.png,x\n./a.png,y\n", "line 3: a.png was named before"),
        ("file,prompt\nother/a.png,x\n", "names none of the pictures"),
    ],
)
def test_wrong_prompt_tables(tmp_path: Path, text: str, words: str):
    touch(tmp_path, "in/a.png")
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        find_items(tmp_path / "in", Selection(), tmp_path / "p.csv")


def test_a_table_that_is_not_text(tmp_path: Path):
    (tmp_path / "p.csv").write_bytes(b"file,prompt\n\xff\xfe,x\n")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_prompts(tmp_path / "p.csv")


def test_a_single_picture_is_for_fix(tmp_path: Path):
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match=r"expected a folder, or a \.jsonl file"):
        find_items(tmp_path / "a.png", Selection())


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_a_name_that_is_no_text_is_refused_alone(tmp_path: Path):
    touch(tmp_path, "a.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    bad, good = sorted(find_items(tmp_path, Selection()), key=lambda item: item.error is None)
    assert (good.name, good.error) == ("a.png", None)
    assert bad.name == "\\xff.png"
    assert "not valid UTF-8" in str(bad.error)
