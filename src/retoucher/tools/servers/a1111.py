"""AUTOMATIC1111's web UI and its fork Forge as a tool, by their `/sdapi/v1` interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Json
from retoucher.errors import ConfigError
from retoucher.tools.servers.address import secret
from retoucher.tools.servers.diffusion_server import (
    DiffusionServerSettings,
    DiffusionServerTool,
    Doing,
    Painting,
)
from retoucher.tools.servers.pictures import Canvas, base64_of, png_of, png_of_mask

_FILLS = {"fill": 0, "original": 1, "noise": 2, "nothing": 3}
_EXTRA_NETWORK = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class A1111Settings(DiffusionServerSettings):
    """How to reach the web UI (started with --api), and how it should paint; see
    `DiffusionServerSettings`.

    Attributes:
        auth_env: for the server's --api-auth.
        checkpoint: title or name as the web UI lists it; None: what is loaded. Set back afterwards.
        sampler, scheduler: names as the web UI lists them; None: the server's defaults.
        denoise: denoising_strength.
        inpaint_area: "whole": repaint within the whole crop, which is context enough; "masked":
            the web UI's "only masked", which enlarges the mask's surroundings to the crop's size.
        masked_padding_px: context around the mask with "masked".
        mask_blur_px: softens the mask's border.
        masked_content: what the place holds before denoising: "fill" (its surroundings' colours),
            "original", "noise" or "nothing" (latent).

    Raises:
        ConfigError: a value is out of range.
    """

    most_steps: ClassVar[int] = 150

    url: str = "http://127.0.0.1:7860"
    sampler: str | None = None
    scheduler: str | None = None
    inpaint_area: Literal["whole", "masked"] = "whole"
    masked_padding_px: int = 32
    mask_blur_px: int = 4
    masked_content: Literal["fill", "original", "noise", "nothing"] = "original"

    def __post_init__(self) -> None:
        DiffusionServerSettings.__post_init__(self)
        if self.masked_content not in _FILLS:
            raise ConfigError(f"masked_content must be one of {', '.join(_FILLS)}")
        if self.inpaint_area not in ("whole", "masked"):
            raise ConfigError('inpaint_area must be "whole" or "masked"')
        if not 0 <= self.masked_padding_px <= 256 or not 0 <= self.mask_blur_px <= 64:
            raise ConfigError("masked_padding_px must lie in 0..256, mask_blur_px in 0..64")


class A1111Tool(DiffusionServerTool[A1111Settings]):
    """Inpaints by img2img on an AUTOMATIC1111 or Forge server."""

    settings_type = A1111Settings
    name = "a1111"
    summary = "repaints the place by img2img on your AUTOMATIC1111 or Forge server"

    def _job(
        self, canvas: Canvas, painting: Painting
    ) -> tuple[Doing, Callable[[], Coroutine[Any, Any, RgbArray]]]:
        from retoucher.tools.servers.a1111_session import Job, repaint

        job = Job(
            url=self.settings.url.rstrip("/"),
            credentials=secret(self.settings.auth_env),
            payload=self._payload(canvas, painting),
            timeout_s=self.settings.timeout_s,
        )
        return job, lambda: repaint(job)

    def _payload(self, canvas: Canvas, painting: Painting) -> dict[str, Json]:
        settings = self.settings
        payload: dict[str, Json] = {
            "init_images": [base64_of(png_of(canvas.image_rgb))],
            "mask": base64_of(png_of_mask(canvas.mask_hw)),
            "inpainting_mask_invert": 0,
            "mask_blur": settings.mask_blur_px,
            "inpainting_fill": _FILLS[settings.masked_content],
            "inpaint_full_res": settings.inpaint_area == "masked",
            "inpaint_full_res_padding": settings.masked_padding_px,
            "denoising_strength": painting.denoise,
            "prompt": _plain(painting.words),
            "negative_prompt": _plain(painting.negative),
            "seed": painting.seed,
            "steps": painting.steps,
            "cfg_scale": settings.guidance,
            "width": canvas.width,
            "height": canvas.height,
            "resize_mode": 0,
            "batch_size": 1,
            "n_iter": 1,
            "send_images": True,
            "save_images": False,
        }
        if settings.sampler is not None:
            payload["sampler_name"] = settings.sampler
        if settings.scheduler is not None:
            payload["scheduler"] = settings.scheduler
        if settings.checkpoint is not None:
            payload["override_settings"] = {"sd_model_checkpoint": settings.checkpoint}
            payload["override_settings_restore_afterwards"] = True
        return payload


def _plain(prompt: str) -> str:
    """The prompt without <lora:...> and the like: words must not make the server load files."""
    return " ".join(_EXTRA_NETWORK.sub(" ", prompt).split())
