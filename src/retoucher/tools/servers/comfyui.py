"""ComfyUI as a tool: a workflow that people already run, given the crop, the mask and the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.errors import ConfigError
from retoucher.tools.servers.address import checked_url, is_loopback, missing, secret
from retoucher.tools.servers.asked import all_but_text, fraction, text, whole
from retoucher.tools.servers.comfyui_workflow import Value, load_workflow
from retoucher.tools.servers.pictures import Canvas
from retoucher.tools.servers.running import run

VERSION = "1"
_LATENT_PX = 8  # ComfyUI cuts pictures to multiples of this before encoding them
_MIN_SIDE_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfyUISettings:
    """How to reach a ComfyUI, and what to run there.

    Attributes:
        url: of the server.
        auth_env: environment variable with "user:password" or a bearer token, for servers behind
            a proxy that wants one; None: none.
        workflow: file in API format (Workflow > Export (API)); None: the inpainting workflow that
            ships, for SD 1.5, SDXL and inpainting checkpoints.
        bindings: where values go in the workflow, "node id or title.input" by name (see
            `comfyui_workflow.NAMES`), beside or instead of %name% in its inputs.
        output: id or title of the node whose picture is the result; None: the only one.
        checkpoint: file name as ComfyUI lists it, for %checkpoint%.
        steps, guidance: of the sampler, for %steps% and %guidance%.
        denoise: 0 to 1, for %denoise%; None: as the planner asks.
        negative_prompt: added to the planner's.
        licence: of the server's model, for `preference.licences`.
        min_side_px, max_side_px: sizes the model was made for; crops are resized to fit.
        timeout_s: for one edit, waiting in the queue included.

    Raises:
        ConfigError: a value is out of range.
    """

    url: str = "http://127.0.0.1:8188"
    auth_env: str | None = None
    workflow: str | None = None
    bindings: Mapping[str, str] = field(default_factory=dict[str, str])
    output: str | None = None
    checkpoint: str | None = None
    steps: int = 30
    guidance: float = 7.0
    denoise: float | None = None
    negative_prompt: str = ""
    licence: str = "unknown"
    min_side_px: int = 512
    max_side_px: int = 1024
    timeout_s: float = 600.0

    def __post_init__(self) -> None:
        checked_url(self.url, "url")
        if not 1 <= self.steps <= 1000:
            raise ConfigError(f"steps must lie between 1 and 1000, got {self.steps}")
        if not 0 <= self.guidance <= 100:
            raise ConfigError(f"guidance must lie between 0 and 100, got {self.guidance}")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise ConfigError(f"denoise must lie in (0, 1], got {self.denoise}")
        if not _MIN_SIDE_PX <= self.min_side_px <= self.max_side_px:
            raise ConfigError(f"sizes need {_MIN_SIDE_PX} <= min_side_px <= max_side_px")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be positive, got {self.timeout_s}")


class ComfyUITool:
    """Runs an inpainting workflow on a ComfyUI server.

    Raises:
        ConfigError: the workflow file cannot be used.
    """

    settings_type = ComfyUISettings

    def __init__(self, settings: ComfyUISettings | None = None) -> None:
        self.settings = settings or ComfyUISettings()
        self.workflow = load_workflow(
            self.settings.workflow, self.settings.bindings, self.settings.output
        )

    @property
    def spec(self) -> ToolSpec:
        settings = self.settings
        return ToolSpec(
            name="comfyui",
            version=VERSION,
            kind="mask",
            summary="repaints the place by a workflow on your ComfyUI server",
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
            from retoucher.tools.servers.comfyui_session import Job, repaint
        except ImportError as error:
            raise missing(error, "comfyui", "servers") from error
        settings = self.settings
        canvas = Canvas.of(request, multiple=_LATENT_PX, min_side_px=_MIN_SIDE_PX)
        job = Job(
            url=settings.url.rstrip("/"),
            credentials=secret(settings.auth_env),
            workflow=self.workflow,
            values=self._values(request, canvas),
            canvas=canvas,
        )
        reply = run(
            lambda: repaint(job),
            cancelled=request.cancelled,
            timeout_s=settings.timeout_s,
            doing=lambda: job.doing,
        )
        return canvas.taken_back(reply, moved=False)

    def _values(self, request: EditRequest, canvas: Canvas) -> dict[str, Value]:
        settings = self.settings
        negative = (text(request, "negative_prompt", ""), settings.negative_prompt)
        values: dict[str, Value] = {
            "prompt": request.instruction or request.prompt,
            "negative_prompt": ", ".join(part for part in negative if part),
            "seed": request.seed,
            "denoise": settings.denoise or fraction(request, "strength", 1.0),
            "steps": whole(request, "steps", settings.steps, 1000),
            "guidance": settings.guidance,
            "width": canvas.width,
            "height": canvas.height,
            "checkpoint": settings.checkpoint or "",
        }
        return values
