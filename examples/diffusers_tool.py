"""Repair one place of a picture with an inpainting model.

    python examples/diffusers_tool.py picture.png --box 120 80 260 220 --out repaired.png \
        --repository stable-diffusion-v1-5/stable-diffusion-inpainting
"""

from __future__ import annotations

import argparse

from retoucher.api import Retoucher
from retoucher.config import Settings
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.tools.diffusers.stable_diffusion import SDInpaintingSettings, SDInpaintingTool


def main() -> None:
    """Repair the box, or what is found where none is given, and say what became of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("picture")
    options.add_argument("--box", type=int, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    options.add_argument("--prompt", help="default: the one in the picture's metadata")
    options.add_argument("--out", default="repaired.png")
    options.add_argument("--repository", default=SDInpaintingSettings().repository)
    options.add_argument("--download", action="store_true", help="fetch the weights if need be")
    options.add_argument("--steps", type=int, default=SDInpaintingSettings().steps)
    options.add_argument("--side", type=int, default=512, help="of the crop, in pixels, at least")
    asked = options.parse_args()

    tool = SDInpaintingTool(
        SDInpaintingSettings(
            repository=asked.repository,
            local_files_only=not asked.download,
            steps=asked.steps,
            min_side_px=asked.side,
            max_side_px=asked.side * 3 // 2,
        )
    )
    preference = Preference(tools=(tool.spec.name,), repair_unknown=True, min_confidence=0.0)
    retoucher = Retoucher.from_profile(settings=Settings(preference=preference), tools=[tool])
    regions = [Region.from_box(Box(*asked.box), id="mine")] if asked.box else None
    result = retoucher.fix(asked.picture, prompt=asked.prompt, regions=regions)
    for edit in result.trace.edits:
        said = edit.error or (edit.verdict.reason if edit.verdict else "")
        print(f"{edit.region_id}: {edit.tool}: {edit.outcome}: {said}")
    print(f"stopped: {result.trace.stop}; changed: {result.changed}")
    result.save(asked.out)


if __name__ == "__main__":
    main()
