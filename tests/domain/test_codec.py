"""A trace survives JSON, and a malformed one is refused with its place."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from retoucher.domain.codec import to_json, trace_from_json, trace_to_json
from tests.traces import full_trace


def test_round_trip_through_a_json_file_loses_nothing() -> None:
    trace = full_trace()
    text = json.dumps(trace_to_json(trace), allow_nan=False)
    back = trace_from_json(json.loads(text))
    assert trace_to_json(back) == trace_to_json(trace)
    assert back.accepted == trace.accepted
    region, again = trace.rounds[0].regions[0], back.rounds[0].regions[0]
    assert np.array_equal(again.mask_hw, region.mask_hw)
    assert again.box == region.box
    assert back.stop is trace.stop


def set_at(data: Any, path: list[str | int], value: object) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 999, "schema version 999"),
        (["seed"], "x", "Trace.seed: expected int, got 'x'"),
        (["seed"], True, "Trace.seed"),
        (["rounds"], {}, "Trace.rounds: expected a list"),
        (["rounds", 0, "edits", 0, "box"], [1, 2, 3], "four finite numbers"),
        (["rounds", 0, "edits", 0, "outcome"], "maybe", "maybe"),
        (["rounds", 0, "regions", 0, "mask_hw", "counts"], "~~", "RLE"),
        (["picture", "colour"], "red", "Trace.picture: unknown fields colour"),
        (["environment"], [], "Trace.environment: expected an object"),
    ],
)
def test_malformed_traces_name_the_place(
    path: list[str | int], value: object, message: str
) -> None:
    data = json.loads(json.dumps(trace_to_json(full_trace())))
    set_at(data, path, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        trace_from_json(data)


def test_missing_fields_are_named() -> None:
    data = trace_to_json(full_trace())
    del data["stop"]
    with pytest.raises(ValueError, match="missing fields stop"):
        trace_from_json(data)


def test_only_masks_are_arrays_in_a_record() -> None:
    with pytest.raises(TypeError, match="only masks"):
        to_json(np.zeros(3))


def test_a_verdict_of_an_older_file_has_no_evidence_and_an_older_reader_would_say_so() -> None:
    data: Any = json.loads(json.dumps(trace_to_json(full_trace())))
    verdict = data["rounds"][0]["edits"][0]["verdict"]
    (row,) = verdict.pop("evidence")
    assert row == {"kind": "vlm_usage", "data": {"requests": 1, "prompt_tokens": 70}}
    older = trace_from_json(data)
    assert older.edits[0].verdict is not None
    assert older.edits[0].verdict.evidence == ()
    assert older.vlm_usage == ()
    assert full_trace().vlm_usage == ({"requests": 1, "prompt_tokens": 70},)
