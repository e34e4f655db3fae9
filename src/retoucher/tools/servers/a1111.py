"""AUTOMATIC1111's web UI and its fork Forge as a tool, by their `/sdapi/v1` interface."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.domain.diagnosis import Json
from retoucher.errors import ConfigError
from retoucher.tools.servers.address import checked_url, is_loopback, missing, secret
from retoucher.tools.servers.asked import all_but_text, fraction, text, whole
from retoucher.tools.servers.pictures import Canvas, base64_of, png_of, png_of_mask
from retoucher.tools.servers.running import run

VERSION = "1"
_LATENT_PX = 8
_MIN_SIDE_PX = 64
_FILLS = {"fill": 0, "original": 1, "noise": 2, "nothing": 3}
_EXTRA_NETWORK = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class A1111Settings:
    """How to reach the web UI (started with --api), and how it should paint.

    Attributes:
        url: of the server.
        auth_env: environment variable with "user:password" (the server's --api-auth); None: none.
        checkpoint: title or name as the web UI lists it; None: what is loaded. Set back afterwards.
        sampler, scheduler: names as the web UI lists them; None: the server's defaults.
        steps, guidance: of the sampler.
        denoise: denoising_strength, 0 to 1; None: as the planner asks.
        inpaint_area: "whole": repaint within the whole crop, which is context enough; "masked":
            the web UI's "only masked", which enlarges the mask's surroundings to the crop's size.
        masked_padding_px: context around the mask with "masked".
        mask_blur_px: softens the mask's border.
        masked_content: what the place holds before denoising: "fill" (its surroundings' colours),
            "original", "noise" or "nothing" (latent).
        negative_prompt: added to the planner's.
        licence: of the server's model, for `preference.licences`.
        min_side_px, max_side_px: sizes the model was made for; crops are resized to fit.
        timeout_s: for one edit, waiting in the queue included.

    Raises:
        ConfigError: a value is out of range.
    """

    url: str = "http://127.0.0.1:7860"
    auth_env: str | None = None
    checkpoint: str | None = None
    sampler: str | None = None
    scheduler: str | None = None
    steps: int = 30
    guidance: float = 7.0
    denoise: float | None = None
    inpaint_area: Literal["whole", "masked"] = "whole"
    masked_padding_px: int = 32
    mask_blur_px: int = 4
    masked_content: Literal["fill", "original", "noise", "nothing"] = "original"
    negative_prompt: str = ""
    licence: str = "unknown"
    min_side_px: int = 512
    max_side_px: int = 1024
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        checked_url(self.url, "url")
        if not 1 <= self.steps <= 150:
            raise ConfigError(f"steps must lie between 1 and 150, got {self.steps}")
        if not 0 <= self.guidance <= 100:
            raise ConfigError(f"guidance must lie between 0 and 100, got {self.guidance}")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise ConfigError(f"denoise must lie in (0, 1], got {self.denoise}")
        if self.masked_content not in _FILLS:
            raise ConfigError(f"masked_content must be one of {', '.join(_FILLS)}")
        if self.inpaint_area not in ("whole", "masked"):
            raise ConfigError('inpaint_area must be "whole" or "masked"')
        if not 0 <= self.masked_padding_px <= 256 or not 0 <= self.mask_blur_px <= 64:
            raise ConfigError("masked_padding_px must lie in 0..256, mask_blur_px in 0..64")
        if not _MIN_SIDE_PX <= self.min_side_px <= self.max_side_px:
            raise ConfigError(f"sizes need {_MIN_SIDE_PX} <= min_side_px <= max_side_px")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be positive, got {self.timeout_s}")


class A1111Tool:
    """Inpaints by img2img on an AUTOMATIC1111 or Forge server."""

    settings_type = A1111Settings

    def __init__(self, settings: A1111Settings | None = None) -> None:
        self.settings = settings or A1111Settings()

    @property
    def spec(self) -> ToolSpec:
        settings = self.settings
        return ToolSpec(
            name="a1111",
            version=VERSION,
            kind="mask",
            summary="repaints the place by img2img on your AUTOMATIC1111 or Forge server",
            categories=all_but_text(),
            priority=30,
            size=SizeNeeds(
                min_side_px=settings.min_side_px,
                max_side_px=settings.max_side_px,
                multiple=_LATENT_PX,
            ),
            context_factor=2.0,
            uses_prompt=True,
            network=not is_loopback(settings.url),
            licence=settings.licence,
            extra="servers",
            opt_in=True,
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Repaint the mask; see `Tool.edit`.

        `params`: strength (0 to 1), negative_prompt, steps.
        """
        try:
            from retoucher.tools.servers.a1111_session import Job, repaint
        except ImportError as error:
            raise missing(error, "a1111", "servers") from error
        settings = self.settings
        canvas = Canvas.of(request, multiple=_LATENT_PX, min_side_px=_MIN_SIDE_PX)
        job = Job(
            url=settings.url.rstrip("/"),
            credentials=secret(settings.auth_env),
            payload=self._payload(request, canvas),
            timeout_s=settings.timeout_s,
        )
        reply = run(
            lambda: repaint(job),
            cancelled=request.cancelled,
            timeout_s=settings.timeout_s,
            doing=lambda: job.doing,
        )
        return canvas.taken_back(reply, moved=False)

    def _payload(self, request: EditRequest, canvas: Canvas) -> dict[str, Json]:
        settings = self.settings
        negative = (text(request, "negative_prompt", ""), settings.negative_prompt)
        payload: dict[str, Json] = {
            "init_images": [base64_of(png_of(canvas.image_rgb))],
            "mask": base64_of(png_of_mask(canvas.mask_hw)),
            "inpainting_mask_invert": 0,
            "mask_blur": settings.mask_blur_px,
            "inpainting_fill": _FILLS[settings.masked_content],
            "inpaint_full_res": settings.inpaint_area == "masked",
            "inpaint_full_res_padding": settings.masked_padding_px,
            "denoising_strength": settings.denoise or fraction(request, "strength", 1.0),
            "prompt": _plain(request.instruction or request.prompt),
            "negative_prompt": _plain(", ".join(part for part in negative if part)),
            "seed": request.seed,
            "steps": whole(request, "steps", settings.steps, 150),
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
