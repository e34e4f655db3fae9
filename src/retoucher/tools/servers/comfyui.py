"""ComfyUI as a tool: a workflow that people already run, given the crop, the mask and the words."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from retoucher.agents import RgbArray
from retoucher.tools.servers.address import secret
from retoucher.tools.servers.comfyui_workflow import Value, load_workflow
from retoucher.tools.servers.diffusion_server import (
    DiffusionServerSettings,
    DiffusionServerTool,
    Doing,
    Painting,
)
from retoucher.tools.servers.pictures import Canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfyUISettings(DiffusionServerSettings):
    """How to reach a ComfyUI, and what to run there; see `DiffusionServerSettings`.

    Attributes:
        auth_env: or with a bearer token, for servers behind a proxy that wants one.
        workflow: file in API format (Workflow > Export (API)); None: the inpainting workflow that
            ships, for SD 1.5, SDXL and inpainting checkpoints.
        bindings: where values go in the workflow, "node id or title.input" by name (see
            `comfyui_workflow.NAMES`), beside or instead of %name% in its inputs.
        output: id or title of the node whose picture is the result; None: the only one.
        checkpoint: file name as ComfyUI lists it, for %checkpoint%.
        steps, guidance, denoise: for %steps%, %guidance% and %denoise%.

    Raises:
        ConfigError: a value is out of range.
    """

    url: str = "http://127.0.0.1:8188"
    workflow: str | None = None
    bindings: Mapping[str, str] = field(default_factory=dict[str, str])
    output: str | None = None


class ComfyUITool(DiffusionServerTool[ComfyUISettings]):
    """Runs an inpainting workflow on a ComfyUI server.

    Raises:
        ConfigError: the workflow file cannot be used.
    """

    settings_type = ComfyUISettings
    name = "comfyui"
    summary = "repaints the place by a workflow on your ComfyUI server"

    def __init__(self, settings: ComfyUISettings | None = None) -> None:
        super().__init__(settings)
        self.workflow = load_workflow(
            self.settings.workflow, self.settings.bindings, self.settings.output
        )

    def _job(
        self, canvas: Canvas, painting: Painting
    ) -> tuple[Doing, Callable[[], Coroutine[Any, Any, RgbArray]]]:
        from retoucher.tools.servers.comfyui_session import Job, repaint

        job = Job(
            url=self.settings.url.rstrip("/"),
            credentials=secret(self.settings.auth_env),
            workflow=self.workflow,
            values=self._values(canvas, painting),
            canvas=canvas,
        )
        return job, lambda: repaint(job)

    def _values(self, canvas: Canvas, painting: Painting) -> dict[str, Value]:
        return {
            "prompt": painting.words,
            "negative_prompt": painting.negative,
            "seed": painting.seed,
            "denoise": painting.denoise,
            "steps": painting.steps,
            "guidance": self.settings.guidance,
            "width": canvas.width,
            "height": canvas.height,
            "checkpoint": self.settings.checkpoint or "",
        }
