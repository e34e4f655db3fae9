"""ComfyUI's tensors and our arrays.

IMAGE is float [B, H, W, C] in 0..1, MASK is float [B, H, W], SEGS is ((height, width), [SEG, ...]).
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region

MAX_PARTS = 64
"""A mask in more pieces than this is taken for a mistake."""

# As in Impact Pack's core.py; its nodes read the fields by name.
SEG = namedtuple(
    "SEG",
    [
        "cropped_image",
        "cropped_mask",
        "confidence",
        "crop_region",
        "bbox",
        "label",
        "control_net_wrapper",
    ],
    defaults=[None],
)

Segs = tuple[tuple[int, int], list[SEG]]


def pictures(image: torch.Tensor) -> list[NDArray[np.uint8]]:
    """The pictures of an IMAGE, uint8 (H, W, 3) each; an alpha channel is left out."""
    values = image[..., :3].detach().cpu().float().clamp(0, 1).numpy()
    return [np.ascontiguousarray(np.rint(each * 255).astype(np.uint8)) for each in values]


def with_changes(
    before: torch.Tensor, old_rgb: NDArray[np.uint8], new_rgb: NDArray[np.uint8]
) -> torch.Tensor:
    """One picture [H, W, C] with the pixels that differ between two uint8 versions replaced.

    The others keep their float values exactly, which 8 bits would round.
    """
    changed = torch.from_numpy((old_rgb != new_rgb).any(axis=2))
    out = before.clone()
    new = torch.from_numpy(new_rgb.astype(np.float32) / 255).to(out)
    out[..., :3][changed] = new[changed]
    return out


def mask_of(regions: Sequence[Region], height: int, width: int) -> torch.Tensor:
    """All regions as one mask, float [H, W]."""
    mask = np.zeros((height, width), np.float32)
    for region in regions:
        mask[region.box.slices][region.mask_hw] = 1
    return torch.from_numpy(mask)


def masks_for(mask: torch.Tensor, count: int) -> torch.Tensor:
    """A mask [H, W] or [B, H, W] for each of `count` pictures; one serves a whole batch.

    Raises:
        ValueError: there are several, but not as many as pictures.
    """
    masks = mask[None] if mask.ndim == 2 else mask
    if len(masks) == 1:
        masks = masks.expand(count, -1, -1)
    if len(masks) != count:
        raise ValueError(f"{count} pictures but {len(masks)} masks: give one, or one for each")
    return masks


def regions_of(mask: torch.Tensor, height: int, width: int) -> tuple[Region, ...]:
    """The connected parts of a mask [H', W'], fitted to the picture, from top to bottom.

    Raises:
        ValueError: it is in more than `MAX_PARTS` pieces.
    """
    values = mask.detach().cpu().float().numpy()
    if values.shape != (height, width):
        values = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
    inside = (np.asarray(values) >= 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count - 1 > MAX_PARTS:
        raise ValueError(f"the mask is in {count - 1} separate pieces, at most {MAX_PARTS} do")
    found: list[Region] = []
    for i in range(1, count):
        x, y, w, h = (int(v) for v in stats[i][:4])
        box = Box(x, y, x + w, y + h)
        found.append(Region(id=f"r{i}", box=box, mask_hw=labels[box.slices] == i, score=1.0))
    return tuple(found)


def segs_of(
    image: torch.Tensor,
    regions: Sequence[Region],
    diagnoses: Sequence[Diagnosis],
    crop_factor: float,
) -> Segs:
    """Regions as Impact Pack's detailers take them, one SEG each.

    Args:
        image: the picture, [H, W, C].
        regions, diagnoses: in the same order; the category becomes the label.
        crop_factor: side of the crop over side of the region.
    """
    height, width = int(image.shape[0]), int(image.shape[1])
    segs: list[SEG] = []
    for region, diagnosis in zip(regions, diagnoses, strict=True):
        box = region.box
        grow_x = round(box.width * (crop_factor - 1) / 2)
        grow_y = round(box.height * (crop_factor - 1) / 2)
        crop = Box(
            max(0, box.x0 - grow_x),
            max(0, box.y0 - grow_y),
            min(width, box.x1 + grow_x),
            min(height, box.y1 + grow_y),
        )
        mask = np.zeros((crop.height, crop.width), np.float32)
        mask[box.shift(-crop.x0, -crop.y0).slices][region.mask_hw] = 1
        segs.append(
            SEG(
                cropped_image=image[crop.slices][None].clone(),
                cropped_mask=mask,
                confidence=diagnosis.confidence,
                crop_region=[crop.x0, crop.y0, crop.x1, crop.y1],
                bbox=[box.x0, box.y0, box.x1, box.y1],
                label=diagnosis.category,
            )
        )
    return (height, width), segs
