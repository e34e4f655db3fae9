"""Make a picture with a diffusers pipeline, then retouch it with the weights that are loaded.

    python examples/after_diffusers.py --repository stable-diffusion-v1-5/stable-diffusion-v1-5 \
        --prompt "a woman waving" --out picture.png
"""

from __future__ import annotations

import argparse

import torch
from diffusers import DiffusionPipeline

from retoucher.config import Settings
from retoucher.domain.plan import Preference
from retoucher.integrations.diffusers import retouch
from retoucher.tools.diffusers.any_repository import AnyRepositorySettings


def main() -> None:
    """Generate, retouch, save, and say what was done."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repository", required=True, help="text-to-image model, or its folder")
    options.add_argument("--prompt", default="a woman waving from a window")
    options.add_argument("--out", default="picture.png")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--steps", type=int, default=30)
    options.add_argument("--side", type=int, default=512, help="of the picture, in pixels")
    asked = options.parse_args()

    pipe = DiffusionPipeline.from_pretrained(asked.repository, use_safetensors=True)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(asked.seed)
    image = pipe(
        asked.prompt,
        height=asked.side,
        width=asked.side,
        num_inference_steps=asked.steps,
        generator=generator,
    ).images[0]

    result = retouch(
        pipe,
        image,
        prompt=asked.prompt,
        generator=generator,
        settings=Settings(preference=Preference(repair_unknown=True)),
        inpainting=AnyRepositorySettings(
            steps=asked.steps, min_side_px=asked.side // 2, max_side_px=asked.side
        ),
    )
    for edit in result.trace.edits:
        print(f"{edit.region_id}: {edit.tool}: {edit.outcome}")
    print(f"stopped: {result.trace.stop}; changed: {result.changed}")
    result.save(asked.out)


if __name__ == "__main__":
    main()
