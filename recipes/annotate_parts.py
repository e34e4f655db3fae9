"""Find landmarks of hands, faces and bodies with MediaPipe's models, for the synthetic defects.

Run once per data set; the result is a small JSON lines file that `retoucher.data.landmarks` reads.

    pip download --no-deps mediapipe==0.10.21 && unzip mediapipe-*.whl 'mediapipe/modules/*.tflite'
    pip install ai-edge-litert
    python recipes/annotate_parts.py labels FOLDER mediapipe/modules OUT.jsonl

The models are Apache-2.0. Their own Python package is not used: it needs an old numpy.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from retoucher.data.landmarks import FACE_MESH_INDICES, POSE_MESH_INDICES
from retoucher.data.ours import read_hand_signs, read_labels, read_pool

READERS = {"labels": read_labels, "pool": read_pool, "signs": read_hand_signs}
MIN_SCORE = 0.6


class Model:
    """One TFLite landmark model: a square float RGB crop in, its raw outputs out."""

    def __init__(self, path: Path) -> None:
        self.net = Interpreter(str(path), num_threads=1)
        self.net.allocate_tensors()
        self.input = self.net.get_input_details()[0]
        self.side = int(self.input["shape"][1])
        self.outputs = sorted(self.net.get_output_details(), key=lambda d: str(d["name"]))

    def __call__(
        self, rgb: np.ndarray, centre: Any, size: float, angle: float, signed: bool = False
    ) -> Any:
        """Outputs for the square of `size` px around `centre`, turned by `angle` radians.

        `signed`: the model wants -1..1 (the face detector), not 0..1 (all others).
        """
        c, s, k = math.cos(angle), math.sin(angle), size / self.side
        linear = k * np.array([[c, -s], [s, c]])
        offset = np.asarray(centre) - linear @ np.full(2, self.side / 2)
        to_picture = np.hstack([linear, offset[:, None]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(rgb, to_picture, (self.side, self.side), flags=flags)
        values = crop[None].astype(np.float32) / 255
        self.net.set_tensor(self.input["index"], values * 2 - 1 if signed else values)
        self.net.invoke()
        return to_picture, [self.net.get_tensor(d["index"]).ravel() for d in self.outputs]


def to_picture_xy(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points of the crop in the picture."""
    return points[:, :2] @ matrix[:, :2].T + matrix[:, 2]


def sigmoid(x: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-x))


def hand(model: Model, rgb: np.ndarray, box: Any) -> tuple[float, np.ndarray] | None:
    """The best of eight turns, then refined with the turn that its own points give."""
    x0, y0, x1, y1 = box
    centre, size = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), 1.4 * max(x1 - x0, y1 - y0)
    best = None
    turns = [(centre, size, i * math.pi / 4) for i in range(8)]
    for step in range(9):
        if step == 8:
            if best is None or best[0] < 0.2:
                return None
            p = best[1]
            up = p[9] - p[0]
            span = 1.5 * float(np.ptp(p, axis=0).max())
            turns.append(((p.min(0) + p.max(0)) / 2, span, math.atan2(up[0], -up[1])))
        matrix, out = model(rgb, *turns[step])
        score = float(out[1][0])
        if best is None or score > best[0]:
            best = score, to_picture_xy(out[0].reshape(21, 3), matrix)
    return best


def face(model: Model, rgb: np.ndarray, box: Any) -> tuple[float, np.ndarray] | None:
    """Landmarks of a face, refined twice by the turn and size that they give."""
    x0, y0, x1, y1 = box
    centre, size = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), 1.35 * max(x1 - x0, y1 - y0)
    angle, points, score = 0.0, np.zeros((0, 2)), 0.0
    for _ in range(3):
        matrix, out = model(rgb, centre, size, angle)
        mesh, logit = (out[0], out[1]) if out[0].size > 1 else (out[1], out[0])
        points = to_picture_xy(mesh.reshape(468, 3), matrix)
        score = sigmoid(float(logit[0]))
        axis = points[263] - points[33]
        angle = math.atan2(axis[1], axis[0])
        centre = (points.min(0) + points.max(0)) / 2
        size = 1.5 * float(np.ptp(points, axis=0).max())
    return score, points[list(FACE_MESH_INDICES)]


def body(model: Model, rgb: np.ndarray, box: Any) -> tuple[float, list[Any]]:
    """Landmarks of a person, those that are hidden or outside as None."""
    x0, y0, x1, y1 = box
    centre, size = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), 1.25 * max(x1 - x0, y1 - y0)
    matrix, out = model(rgb, centre, size, 0.0)
    rows = out[0].reshape(39, 5)
    points = to_picture_xy(rows, matrix)
    height, width = rgb.shape[:2]
    kept: list[Any] = []
    for i in POSE_MESH_INDICES:
        x, y = points[i]
        inside = 0 <= x < width and 0 <= y < height
        seen = min(sigmoid(rows[i, 3]), sigmoid(rows[i, 4])) > 0.7
        kept.append([round(float(x)), round(float(y))] if inside and seen else None)
    return float(out[1][0]), kept


def inside(points: np.ndarray, box: Any, share: float) -> bool:
    """Most points lie in the box (grown a little): the landmarks are this part's, not another's."""
    x0, y0, x1, y1 = box
    mx, my = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
    good = (points >= (x0 - mx, y0 - my)) & (points <= (x1 + mx, y1 + my))
    return float(good.all(1).mean()) >= share


def anchors(side: int, strides: tuple[int, ...]) -> np.ndarray:
    """Centres of MediaPipe's SSD anchors, (N, 2) in 0..1: two a cell and stride."""
    out: list[np.ndarray] = []
    for stride in sorted(set(strides)):
        cells = side // stride
        xs = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(xs, xs), axis=-1).reshape(-1, 2)
        out.append(np.repeat(grid, 2 * strides.count(stride), axis=0))
    return np.concatenate(out)


def detect(model: Model, rgb: np.ndarray, strides: tuple[int, ...]) -> list[list[float]]:
    """Boxes of palms or faces in the whole picture and in its quarters, the surest first."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    views = [((width / 2, height / 2), float(side))]
    views += [((width * x, height * y), side * 0.6) for x in (0.27, 0.73) for y in (0.27, 0.73)]
    centres = anchors(model.side, strides)
    found: list[tuple[float, list[float]]] = []
    for centre, size in views:
        matrix, out = model(rgb, centre, size, 0.0, signed=model.side == 128)
        raw, logits = sorted(out, key=lambda v: -v.size)
        rows = raw.reshape(len(centres), -1)
        for i in np.flatnonzero(logits > 0.4):
            middle = rows[i, :2] + centres[i] * model.side
            half = rows[i, 2:4] / 2
            corners = to_picture_xy(np.stack([middle - half, middle + half]), matrix)
            found.append((float(logits[i]), corners.ravel().tolist()))
    kept: list[list[float]] = []
    for _, box in sorted(found, key=lambda f: -f[0]):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not any(k[0] < x < k[2] and k[1] < y < k[3] for k in kept):
            kept.append(box)
    return kept[:12]


def found_parts(sample: Any, models: dict[str, Model]) -> list[dict[str, Any]]:
    """Hands and faces of a picture that has no boxes, by detectors; only those that are sure."""
    rgb = sample.load_rgb()
    out: list[dict[str, Any]] = []
    kinds = (
        ("hand", "palms", hand, (8, 16, 16, 16), 2.2),
        ("face", "faces", face, (8, 16, 16, 16), 1.1),
    )
    for part, detector, landmark, strides, grow in kinds:
        for x0, y0, x1, y1 in detect(models[detector], rgb, strides):
            dx, dy = (x1 - x0) * (grow - 1) / 2, (y1 - y0) * (grow - 1) / 2
            result = landmark(models[part], rgb, (x0 - dx, y0 - dy, x1 + dx, y1 + dy))
            if result is None or result[0] < 0.9:
                continue
            low, high = result[1].min(0), result[1].max(0)
            margin = 0.08 * float(max(high - low))
            a, b = low - margin, high + margin
            inside = a.min() >= 0 and b[0] <= sample.width and b[1] <= sample.height
            if inside and float(max(high - low)) >= 28:
                box = [int(a[0]), int(a[1]), int(b[0]) + 1, int(b[1]) + 1]
                rows = [[round(float(v)) for v in p] for p in result[1]]
                out.append({"part": part, "box": box, "points": rows})
    return out


def bounds(points: list[Any], sample: Any) -> list[int]:
    """The box of some points with a margin, inside the picture."""
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    margin = 0.2 * float(max(high - low)) + 10
    x0, y0 = (max(int(v - margin), 0) for v in low)
    return [
        x0,
        y0,
        min(int(high[0] + margin), sample.width),
        min(int(high[1] + margin), sample.height),
    ]


def annotate(sample: Any, models: dict[str, Model]) -> list[dict[str, Any]]:
    """Landmarks of all clean parts of a sample."""
    rgb = sample.load_rgb()
    out: list[dict[str, Any]] = []
    for part in sample.clean_parts:
        box = part.box.as_xyxy()
        side = max(part.box.width, part.box.height)
        if part.part == "hand" and side >= 24:
            found = hand(models["hand"], rgb, box)
        elif part.part == "face" and side >= 24 and 0.5 < part.box.width / part.box.height < 1.3:
            found = face(models["face"], rgb, box)
        elif part.part == "person" and side >= 96:
            score, rows = body(models["body"], rgb, box)
            if score > MIN_SCORE and sum(r is not None for r in rows) >= 5:
                out.append({"part": "person", "box": box, "points": rows})
            continue
        else:
            continue
        if found and found[0] >= MIN_SCORE and inside(found[1], box, 0.85):
            digits = 1 if side < 100 else 0
            rows = [
                [round(float(v), digits) if digits else round(float(v)) for v in p]
                for p in found[1]
            ]
            out.append({"part": part.part, "box": box, "points": rows})
    faces = [p.box for p in sample.clean_parts if p.part == "face"]
    if sample.is_clean and faces:
        score, rows = body(models["body"], rgb, (0, 0, sample.width, sample.height))
        seen = [r for r in rows if r is not None]
        on_face = any(f.x0 < x < f.x1 and f.y0 < y < f.y1 for x, y in seen for f in faces)
        if score > MIN_SCORE and len(seen) >= 5 and not on_face:
            out.append({"part": "person", "box": bounds(seen, sample), "points": rows})
    return out


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(READERS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("modules", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    models = {
        "hand": Model(args.modules / "hand_landmark/hand_landmark_full.tflite"),
        "face": Model(args.modules / "face_landmark/face_landmark.tflite"),
        "palms": Model(args.modules / "palm_detection/palm_detection_full.tflite"),
        "faces": Model(args.modules / "face_detection/face_detection_short_range.tflite"),
        "body": Model(args.modules / "pose_landmark/pose_landmark_full.tflite"),
    }
    lines = 0
    with args.out.open("w") as file:
        for sample in READERS[args.kind](args.folder):
            bare = not sample.clean_parts and not sample.regions
            parts = found_parts(sample, models) if bare else annotate(sample, models)
            if parts:
                lines += 1
                file.write(
                    json.dumps({"id": sample.id, "parts": parts}, separators=(",", ":")) + "\n"
                )
    print(f"{lines} pictures with landmarks in {args.out}")


if __name__ == "__main__":
    main()
