from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retoucher.data.landmarks import (
    EYE_LEFT,
    EYE_RIGHT,
    FACE_MESH_INDICES,
    FACE_POINTS,
    LIPS,
    attach_landmarks,
    mirrored_points,
)
from retoucher.data.sample import LabelledRegion
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from tests.data.scenes import HAND, body_points, drawn_sample, face_points, hand_points


def test_points_keep_their_meaning_in_the_mirror() -> None:
    assert len(set(FACE_MESH_INDICES)) == FACE_POINTS
    points = face_points()
    mirrored = mirrored_points(points, "face", 520)
    # The drawn face is symmetric, so its mirror image is the same face elsewhere.
    shift = mirrored.mean(0) - points.mean(0)
    np.testing.assert_allclose(mirrored, points + shift, atol=1e-3)
    assert mirrored[list(EYE_LEFT)].mean(0)[0] < mirrored[list(EYE_RIGHT)].mean(0)[0]
    assert mirrored[LIPS[0]][0] == mirrored[list(LIPS)][:, 0].min()
    body = mirrored_points(body_points(), "person", 860)
    np.testing.assert_allclose(body, body_points(), atol=1e-3)
    for part, xy in (("face", points), ("person", body_points()), ("hand", hand_points())):
        twice = mirrored_points(mirrored_points(xy, part, 520), part, 520)
        np.testing.assert_allclose(twice, xy, atol=1e-3)


def test_points_join_their_parts(tmp_path: Path) -> None:
    bare = drawn_sample()
    bare = replace(bare, clean_parts=tuple(replace(p, points_xy=None) for p in bare.clean_parts))
    rows = [[float(x), float(y)] for x, y in hand_points()]
    rows[3] = None  # type: ignore[call-overload]
    found = [
        {"part": "hand", "box": HAND.as_xyxy(), "points": rows},
        {"part": "hand", "box": [300, 300, 360, 360], "points": rows},
    ]
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps({"id": "drawn", "parts": found}) + "\n")
    (sample,) = attach_landmarks([bare], path)
    assert len(sample.clean_parts) == len(bare.clean_parts) + 1
    points = sample.clean_parts[0].points_xy
    assert points is not None
    assert np.isnan(points[3]).all()
    np.testing.assert_allclose(points[4], hand_points()[4])
    assert not sample.clean_parts[-1].exact
    spoiled = LabelledRegion(box=Box(310, 310, 350, 350), category="hand_shape")
    (sample,) = attach_landmarks([replace(bare, regions=(spoiled,))], path)
    assert len(sample.clean_parts) == len(bare.clean_parts)


def test_a_wrong_number_of_points_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    row = {"id": "drawn", "parts": [{"part": "hand", "box": [0, 0, 9, 9], "points": [[1, 2]]}]}
    path.write_text("\n" + json.dumps(row))
    with pytest.raises(InputError, match="jsonl:2: a hand has 21 points, got 1"):
        attach_landmarks([drawn_sample()], path)
