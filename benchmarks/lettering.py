"""How well lettering is found, diagnosed, repaired, and left alone when it is right.

    python benchmarks/lettering.py [--quick] [--json] [--data DIR] [--split dev|heldout|all]
                                   [--sheet OUT.png] [--no-baselines] [--perceivers text,saliency]

Needs the extra `bench` (typefaces and pictures of the test set). DIR holds `pool/` and
`real_dev/`; without it those surfaces and labelled pictures are left out, and the table says so.
What each figure means stands in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lettering_table as table
import numpy as np
from lettering_real import labelled, photo_sample, run_photo, run_real
from lettering_run import PictureRow, load_rgb, naive_regions, run_sample, without_verification
from lettering_score import detection
from lettering_set import Sample, make_set
from lettering_sheet import Pair, focus, write_sheet

from retoucher import Retoucher
from retoucher.config import Settings

SEED = 7
PHOTOS = 60
SHEET_PAIRS = 24
SHIPPABLE = ("generated/", "openpeople/", "skimage/")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small sample of everything")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, default=os.environ.get("RETOUCHER_DATA"))
    parser.add_argument("--split", choices=("dev", "heldout", "all"), default="all")
    parser.add_argument("--sheet", type=Path, help="before/after of shippable pictures, by outcome")
    parser.add_argument("--review", type=Path, help="folder for before/after sheets of everything")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--perceivers", default="", help="comma-separated; else the default ones")
    parser.add_argument("--only", choices=("set", "real", "photos"), help="one part")
    return parser.parse_args()


def made_set(pool: Path | None) -> tuple[Path, tuple[Sample, ...]]:
    """The test set, made anew unless this very generator has made it on this machine before."""
    sources = sorted((Path(__file__).parent / "lettering_set").iterdir())
    digest = hashlib.sha256(str(pool).encode() + SEED.to_bytes(4, "big"))
    for source in sources:
        if source.is_file():
            digest.update(source.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"retoucher-lettering-{digest.hexdigest()[:16]}"
    if (folder / "truth.jsonl").is_file():
        from lettering_set.truth import read

        return folder, read(folder / "truth.jsonl")
    return folder, make_set(folder, pool, SEED)


def _progress(done: int, total: int, what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{total} ", end="", file=sys.stderr, flush=True)


def _quick(samples: Sequence[Sample]) -> list[Sample]:
    """Two of each theme and split."""
    kept: list[Sample] = []
    for sample in samples:
        same = [s for s in kept if (s.theme, s.split) == (sample.theme, sample.split)]
        if len(same) < 2:
            kept.append(sample)
    return kept


def _run_set(
    retoucher: Retoucher, samples: Sequence[Sample], folder: Path, pairs: list[tuple[Sample, Pair]]
) -> list[PictureRow]:
    rows: list[PictureRow] = []
    for k, sample in enumerate(samples):
        _progress(k, len(samples), "set")
        row, after = run_sample(retoucher, sample, folder)
        rows.append(row)
        fates = ", ".join(u.fate or ("FLAGGED" if u.flagged else "ok") for u in row.units)
        pair = Pair(
            before=load_rgb(folder / sample.file), after=after, caption=f"{sample.id}: {fates}"
        )
        pairs.append((sample, pair))
    return rows


def _naive(samples: Sequence[Sample], folder: Path, rule: str) -> dict[str, Any]:
    """Detection by a naive rule: everything it takes would be repainted."""
    from retoucher.domain.diagnosis import Diagnosis

    found = wrong = right = flagged_regions = clean_hit = clean = 0
    for k, sample in enumerate(samples):
        _progress(k, len(samples), rule)
        image = load_rgb(folder / sample.file)
        regions = naive_regions(image, rule)
        diagnoses = [
            Diagnosis(
                region_id=r.id, category="text_garbled", severity=2, description="", confidence=1.0
            )
            for r in regions
        ]
        seen = detection(sample, regions, diagnoses, image.shape[:2])
        wrong += sum(u.kind != "clean" for u in sample.units)
        found += sum(f is not None for f in seen.found)
        right += seen.right
        flagged_regions += seen.right + seen.false
        clean += sample.clean
        clean_hit += sample.clean and bool(regions)
    return {
        "found": [found, wrong],
        "regions_right": [right, flagged_regions],
        "clean_pictures_changed": [clean_hit, clean],
    }


def _set_part(
    args: argparse.Namespace, retoucher: Retoucher, pool: Path | None
) -> tuple[dict[str, Any], list[str]]:
    folder, samples = made_set(pool)
    chosen = [s for s in samples if args.split in ("all", s.split)]
    if args.quick:
        chosen = _quick(chosen)
    pairs: list[tuple[Sample, Pair]] = []
    rows = _run_set(retoucher, chosen, folder, pairs)
    out: dict[str, Any] = {"rows": [asdict(row) for row in rows]}
    text: list[str] = []
    split_of = {sample.id: sample.split for sample in chosen}
    for split in ("dev", "heldout"):
        part = [row for row in rows if split_of[row.sample] == split]
        if part:
            data = out[split] = table.summary(part) | {"by_prompt": table.by_prompt(part)}
            lines = table.set_lines(data) + table.prompt_lines(data["by_prompt"])
            text.append(table.render(f"Lettering set, {split} half, profile embedded", lines))
    if not args.no_baselines:
        blind = _run_set(without_verification(retoucher), chosen, folder, [])
        out["baselines"] = {
            "no verification": table.summary(blind),
            "OCR confidence < 0.8": _naive(chosen, folder, "confidence"),
            "spell check": _naive(chosen, folder, "spell-check"),
        }
        text.append(_baseline_text(out["baselines"], table.summary(rows)))
    if args.sheet:
        write_sheet(_shown(pairs, rows), args.sheet, columns=2, cell_wh=(300, 100), colours=192)
    if args.review:
        _review(pairs, args.review / "set")
    return out, text


def _baseline_text(baselines: dict[str, Any], ours: dict[str, Any]) -> str:
    lines: list[table.Line] = []
    for name, data in {"this product": ours, **baselines}.items():
        found = data["found"]
        if isinstance(found, dict):
            found = [sum(v[i] for v in found.values()) for i in (0, 1)]
        words = [
            f"found {table.share(*found)}",
            f"precision {table.share(*data['regions_right'])}",
            f"clean pictures changed {table.share(*data['clean_pictures_changed'])}",
        ]
        if "repaired_of_known" in data:
            still = sum(f.get("changed, still wrong", 0) for f in data["fates"].values())
            words += [
                f"repaired {table.share(*data['repaired_of_known'])}",
                f"changed but still wrong {still}",
                f"clean units touched {table.share(*data['clean_units_touched'])}",
            ]
        lines.append((name, "; ".join(words)))
    return table.render(f"Against baselines, the same {ours['pictures']} pictures", lines)


def _shown(pairs: Sequence[tuple[Sample, Pair]], rows: Sequence[PictureRow]) -> list[Pair]:
    """For the documentation: wrong units of shippable pictures, evenly from all of them, so that
    every outcome stands there in about its true proportion."""
    by_id = {row.sample: row for row in rows}
    crops: list[Pair] = []
    for sample, pair in pairs:
        if not sample.background.startswith(SHIPPABLE):
            continue
        for unit, row in zip(sample.units, by_id[sample.id].units, strict=True):
            if row.fate is None:
                continue
            points = list(unit.quad_xy)
            box = (
                min(x for x, _ in points), min(y for _, y in points),
                max(x for x, _ in points), max(y for _, y in points),
            )  # fmt: skip
            named = Pair(
                before=pair.before,
                after=pair.after,
                caption=f"{sample.id}, {unit.kind}: {row.fate}",
            )
            crops.append(focus(named, box, 0.25))
    chosen = np.linspace(0, len(crops) - 1, min(len(crops), SHEET_PAIRS)).round().astype(int)
    return [crops[i] for i in chosen]


def _review(pairs: Sequence[tuple[Sample, Pair]], folder: Path) -> None:
    for k in range(0, len(pairs), 10):
        page = [pair for _, pair in pairs[k : k + 10]]
        write_sheet(page, folder / f"{k // 10:02d}.png", columns=2, cell_wh=(480, 400))


def _real_part(args: argparse.Namespace, retoucher: Retoucher, root: Path) -> tuple[Any, str]:
    labels = labelled(root)
    if args.quick:
        with_text = [
            r for r in labels if any(x["category"].startswith("text") for x in r["regions"])
        ]
        labels = with_text[:5] + [r for r in labels if r not in with_text][:5]
    rows, pairs = [], list[Pair]()
    for k, label in enumerate(labels):
        _progress(k, len(labels), "real")
        row, before, after = run_real(retoucher, label, root)
        rows.append(row)
        if row.regions or row.changed:
            words = ", ".join(r.fate for r in row.regions)
            caption = f"{row.picture}: {words} | off labels {len(row.false_boxes)}"
            pairs.append(Pair(before=before, after=after, caption=caption))
    if args.review:
        for k in range(0, len(pairs), 6):
            write_sheet(
                pairs[k : k + 6], args.review / "real" / f"{k // 6:02d}.png", cell_wh=(480, 480)
            )
    data = table.real_summary(rows)
    text = table.render(
        "Labelled text regions of real generated pictures (real_dev)", table.real_lines(data)
    )
    return data | {"rows": [asdict(row) for row in rows]}, text


def _photo_part(args: argparse.Namespace, retoucher: Retoucher, pool: Path) -> tuple[Any, str]:
    paths = photo_sample(pool, 6 if args.quick else PHOTOS, SEED)
    rows, pairs = [], list[Pair]()
    for k, path in enumerate(paths):
        _progress(k, len(paths), "photos")
        row, before, after = run_photo(retoucher, path)
        rows.append(row)
        if row.changed:
            pairs.append(Pair(before=before, after=after, caption=f"{row.file} {row.boxes}"))
    if args.review:
        write_sheet(pairs, args.review / "photos.png", cell_wh=(480, 400))
    data = table.photo_summary(rows)
    text = table.render(
        f"Photographs of the pool (COCO, drawn by seed {SEED})", table.photo_lines(data)
    )
    return data | {"rows": [asdict(row) for row in rows]}, text


def main() -> int:
    args = _arguments()
    data = Path(args.data) if args.data else None
    if data is not None and not (data / "pool").is_dir():
        print(f"no folder pool in {data}; give --data the folder that holds it", file=sys.stderr)
        return 2
    names = tuple(n for n in args.perceivers.split(",") if n)
    settings = Settings(perceivers=names) if names else Settings()
    retoucher = Retoucher.from_profile("embedded", settings)
    out: dict[str, Any] = {
        "benchmark": "lettering",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "seed": SEED,
        "quick": args.quick,
        "agents": [f"{info.role} {info.name} {info.version}" for info in retoucher.infos()],
    }
    text: list[str] = []
    if args.only in (None, "set"):
        out["set"], parts = _set_part(args, retoucher, data / "pool" if data else None)
        text += parts
    if data is None:
        out["skipped"] = "pool surfaces, real_dev, photographs: no --data DIR and no RETOUCHER_DATA"
        text.append(f"Skipped: {out['skipped']}\n")
    else:
        if args.only in (None, "real"):
            out["real_dev"], part = _real_part(args, retoucher, data / "real_dev")
            text.append(part)
        if args.only in (None, "photos"):
            out["photographs"], part = _photo_part(args, retoucher, data / "pool")
            text.append(part)
    print(json.dumps(out) if args.json else "\n".join(text))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
