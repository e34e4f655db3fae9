"""`retouch data annotate` from pictures to checked labels, and `retouch data conversations`."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retoucher.cli.data import app
from retoucher.data.ours import read_labels
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError, InputError, PluginError
from retoucher.reasoning.reply import RegionReply, reply_text
from tests.data.annotators import exported, pictures, point, rectangle, rgb_file
from tests.reasoning.loopback import Played, serving


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def chat(text: str) -> dict[str, Any]:
    """The shape of an OpenAI-compatible server's answer."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }  # fmt: skip


def model(path: str, asked: dict[str, Any]) -> Played:
    """Puts the notes of each mark into a sentence; of limbs it says that nothing is wrong."""
    words = [part["text"] for part in asked["messages"][1]["content"] if part["type"] == "text"]
    notes = json.loads(next(w for w in words if "melted" in w or "arm" in w).split("=" * 10)[1])
    entries: list[RegionReply] = []
    for mark, told in notes.items():
        fine = told["category"] == "limb_shape"
        entries.append(
            RegionReply(
                mark=int(re.findall(r"\d+", mark)[0]),
                description=f"The hand looks {' and '.join(told['notes'])} beside a straight arm.",
                category="no_defect" if fine else told["category"],
                severity=0 if fine else 2,
                confidence=0.9,
            )
        )
    return Played(body=chat(f"Here you are:\n```json\n{reply_text(entries)}\n```"))


def three_annotators(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two agree on a hand of "a", all three on another; on "b" they differ; "c" is clean."""
    tie = "limb_shape"
    results: list[dict[int, list[dict[str, Any]]]] = [
        {
            11: [
                *rectangle("x1", (20, 20, 60, 60), "hand_shape", "melted", "glaring"),
                *rectangle("x2", (120, 30, 180, 90), "hand_shape", "melted fingers"),
            ],
            12: [
                *rectangle("y1", (22, 18, 62, 58), "hand_shape", "no fingers", "clear"),
                *rectangle("y2", (118, 32, 178, 92), "hand_shape", "melted"),
            ],
            13: point("z1", 150, 60, "hand_shape", "melted away"),
        },
        {
            11: rectangle("x3", (50, 40, 90, 80), tie, "bent arm"),
            12: rectangle("y3", (52, 41, 92, 81), "hand_shape", "melted"),
            13: [*point("z3", 190, 110, tie, "arm ends")],
        },
        {11: [], 12: [], 13: []},
    ]
    return [exported(task, i, by) for i, (task, by) in enumerate(zip(tasks, results, strict=True))]


def test_from_pictures_to_checked_labels(tmp_path: Path) -> None:
    pytest.importorskip("openai", reason="needs the extra api")
    data = pictures(tmp_path / "set")
    run("annotate", "export", data, "--out", tmp_path / "tasks")
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text("utf-8"))
    (tmp_path / "export.json").write_text(json.dumps(three_annotators(tasks)), "utf-8")

    marks = tmp_path / "marks.jsonl"
    said = run("annotate", "import", data, tmp_path / "export.json", "--out", marks)
    assert "3 pictures, 3 annotators, 8 marks" in said

    voted = tmp_path / "voted.jsonl"
    figures = tmp_path / "agreement.json"
    said = run("annotate", "vote", marks, "--out", voted, "--json", figures)
    assert "4 places (2 agreed, 1 tie, 1 minority)" in " ".join(said.split())
    agreement = json.loads(figures.read_text("utf-8"))
    assert agreement["category"]["items"] == 3
    # Of the pairs of judgements: 1 of 1, 3 of 3 and 0 of 1 are equal.
    assert agreement["category"]["percent"] == pytest.approx(100 * 2 / 3)
    # By place: 1 of 3, 3 of 3, 0 of 3, 1 of 3.
    assert agreement["place_and_category"]["percent"] == pytest.approx(100 * 5 / 12)
    assert len(agreement["place_and_category"]["pairs"]) == 3

    worded = tmp_path / "worded.jsonl"
    with serving(model) as server:
        said = run(
            "annotate", "expand", voted, "--out", worded, "--reasoner", "openai",
            "--set", "options.reasoner.openai.model=m",
            "--set", f"options.reasoner.openai.base_url={server.url}/v1",
        )  # fmt: skip
    assert len(server.requests) == 2, "the clean picture is not asked about"
    assert "kept as noted" in said
    assert "the model calls it no_defect" in " ".join(said.split())

    run("annotate", "check", worded, "--out", tmp_path / "list")
    path = tmp_path / "list" / "check.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    assert [row["state"] for row in rows] == ["agreed", "agreed", "tie", "minority"]
    rows[0]["verdict"] = "ok"
    rows[1] |= {"verdict": "changed", "new_severity": "3"}
    rows[2]["verdict"] = "ok"
    rows[3]["verdict"] = "no_defect"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    said = run("annotate", "finish", worded, path, "--out", tmp_path / "labels")
    assert "checked 4 of 4 places: 2 confirmed, 1 changed, 1 no defect" in " ".join(said.split())
    assert "agreed with the annotators in 50.0%" in " ".join(said.split())

    first, second, third = read_labels(tmp_path / "labels")
    assert [r.box for r in first.regions] == [Box(21, 19, 61, 59), Box(119, 31, 179, 91)]
    assert [r.severity for r in first.regions] == [2, 3]
    assert first.regions[0].description == (
        "The hand looks melted and no fingers beside a straight arm."
    )
    assert (third.regions, third.clean_parts, third.prompt) == ((), (), "a c")
    assert len(second.regions) == len(second.clean_parts) == 1
    counted = json.loads(run("stats", tmp_path / "labels", "--json"))
    assert (counted["regions"], counted["pictures"]) == (3, 3)
    assert counted["regions_per_picture"] == [1.0, 1.5]

    said = run("conversations", tmp_path / "labels", "--out", tmp_path / "talk", "--kind", "sft")
    assert "rows of" in said
    assert (tmp_path / "talk" / "sft.jsonl").is_file()
    assert not (tmp_path / "talk" / "grpo.jsonl").exists()


def test_work_that_was_done_is_kept_where_the_server_goes_away(tmp_path: Path) -> None:
    pytest.importorskip("openai", reason="needs the extra api")
    data = pictures(tmp_path / "set")
    run("annotate", "export", data, "--out", tmp_path / "tasks")
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text("utf-8"))
    (tmp_path / "export.json").write_text(json.dumps(three_annotators(tasks)), "utf-8")
    marks, voted, worded = (tmp_path / f"{n}.jsonl" for n in ("marks", "voted", "worded"))
    run("annotate", "import", data, tmp_path / "export.json", "--out", marks)
    run("annotate", "vote", marks, "--out", voted)
    calls: list[int] = []

    def once(path: str, asked: dict[str, Any]) -> Played:
        calls.append(1)
        return model(path, asked) if len(calls) == 1 else Played(status=404, body={"error": "gone"})

    options = ["--reasoner", "openai", "--set", "options.reasoner.openai.model=m", "--set"]
    with serving(once) as server:
        options.append(f"options.reasoner.openai.base_url={server.url}/v1")
        result = CliRunner().invoke(
            app, ["annotate", "expand", str(voted), "--out", str(worded), *options]
        )
    assert result.exit_code != 0
    lines = [json.loads(line) for line in worded.read_text("utf-8").splitlines()]
    assert [r["expanded"] for r in lines[0]["regions"]] == [True, True]
    assert [r["expanded"] for r in lines[1]["regions"]] == [False, False]


def test_a_reasoner_without_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voted.jsonl").touch()
    with pytest.raises(PluginError, match="'embedded' cannot be asked in words"):
        run(
            "annotate", "expand", tmp_path / "voted.jsonl", "--out", tmp_path / "x.jsonl",
            "--reasoner", "embedded",
        )  # fmt: skip


def test_a_folder_of_pictures_and_coco_both_ways(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rgb_file(tmp_path / "in" / "x.png", (64, 48))
    (tmp_path / "in" / "x.txt").write_text("a red door", "utf-8")
    run("annotate", "export", tmp_path / "in", "--out", tmp_path / "coco", "--to", "coco")
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text("utf-8"))
    assert content["images"][0]["caption"] == "a red door"
    number = next(c["id"] for c in content["categories"] if c["name"] == "text_wrong")
    content["annotations"] = [
        {"id": 1, "image_id": 1, "category_id": number, "bbox": [4, 5, 20, 10],
         "attributes": {"note": "two doors"}}
    ]  # fmt: skip
    del content["images"][0]["annotators"]
    for person in ("ann", "bob"):
        (tmp_path / f"{person}.json").write_text(json.dumps(content), "utf-8")
    marks = tmp_path / "marks.jsonl"
    said = run(
        "annotate", "import", tmp_path / "in", tmp_path / "ann.json", tmp_path / "bob.json",
        "--out", marks,
    )  # fmt: skip
    assert "1 pictures, 2 annotators, 2 marks" in said
    run("annotate", "export", marks, "--out", tmp_path / "again", "--to", "coco", "--marks")
    again = json.loads((tmp_path / "again" / "annotations.json").read_text("utf-8"))
    assert [a["attributes"]["annotator"] for a in again["annotations"]] == ["ann", "bob"]
    assert [a["bbox"] for a in again["annotations"]] == [[4, 5, 20, 10]] * 2
    with pytest.raises(InputError, match="--to must be"):
        run("annotate", "export", tmp_path / "in", "--out", tmp_path / "z", "--to", "csv")


def test_settings_of_conversations_come_from_a_file(tmp_path: Path) -> None:
    data = pictures(tmp_path / "set")
    (tmp_path / "t.toml").write_text(
        "jitter = 0.0\nvalidation_share = 0.0\n[view]\ncrop_side_px = 56\npicture_side_px = 84\n"
        "[balance]\nmax_repeats = 1\n",
        "utf-8",
    )
    out = tmp_path / "talk"
    run("conversations", data, "--out", out, "--config", tmp_path / "t.toml", "--show", "both")
    counted = json.loads((out / "statistics.json").read_text("utf-8"))
    assert counted["pictures_of_a_row_hw"] == [[84, 84], [56, 56]]
    assert counted["train"]["rows"] == 3
    assert 'pictures = "both"' in (out / "reasoner.toml").read_text("utf-8")
    (tmp_path / "t.toml").write_text("jiter = 0.0\n", "utf-8")
    with pytest.raises(ConfigError, match="jitter"):
        run("conversations", data, "--out", tmp_path / "z", "--config", tmp_path / "t.toml")
    with pytest.raises(InputError, match="--kind"):
        run("conversations", data, "--out", tmp_path / "z", "--kind", "dpo")
