"""Make docs/data.md's contact sheet of synthetic defects, of openpeople's pictures (MIT) only.

python recipes/synthetic_sheet.py REAL_TRAIN_FOLDER [OUT.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from retoucher.data.landmarks import attach_landmarks
from retoucher.data.ours import read_labels
from retoucher.data.sheets import SheetSettings, pairs_sheet
from retoucher.data.synthetic.augment import NO_AUGMENT
from retoucher.data.synthetic.make import SyntheticPair, SyntheticSettings
from retoucher.data.synthetic.stream import SyntheticStream, ViewSettings
from retoucher.domain.taxonomy import taxonomy

ANNOTATIONS = Path(__file__).parent / "annotations" / "real_train.jsonl"
COLUMNS, PER_CATEGORY = 3, 3


def pairs(folder: Path) -> list[SyntheticPair]:
    """Three pairs a category, of different generators where there are as many."""
    samples = [s for s in read_labels(folder) if s.source.startswith("openpeople")]
    settings = SyntheticSettings(augment=NO_AUGMENT, max_defects=1, other_edits=0)
    view = ViewSettings(size_px=448, mirror=0.0)
    stream = SyntheticStream(
        attach_landmarks(samples, ANNOTATIONS), seed=11, settings=settings, view=view
    )
    out: list[SyntheticPair] = []
    for number, category in enumerate(taxonomy()):
        own: list[SyntheticPair] = []
        for index in range(60):
            pair = stream.pair(1000 * number + index, category)
            known = [p.generators for p in own]
            region = pair.defect.regions[-1]
            fresh = pair.generators not in known or index > 40
            if fresh and max(region.box.width, region.box.height) > 40:
                own.append(pair)
            if len(own) == PER_CATEGORY:
                break
        out += own
    return out


def main() -> None:
    """Write the sheet."""
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("docs/images/synthetic.png")
    look = SheetSettings(cell_px=150, columns=COLUMNS, margin=0.35)
    sheet = pairs_sheet(pairs(Path(sys.argv[1])), look)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A palette keeps the file small; the pictures are for the eye only.
    few = Image.fromarray(sheet).quantize(200, dither=Image.Dither.NONE)
    few.save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
