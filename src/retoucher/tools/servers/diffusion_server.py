"""What the tools have in common that repaint by a diffusion model on a server of yours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.errors import ConfigError
from retoucher.tools.servers.address import checked_url, is_loopback, missing
from retoucher.tools.servers.asked import all_but_text, fraction, text, whole
from retoucher.tools.servers.pictures import Canvas
from retoucher.tools.servers.running import run

VERSION = "1"
_LATENT_PX = 8  # servers cut pictures to multiples of this before encoding them
_MIN_SIDE_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionServerSettings:
    """How to reach the server, and how it should paint.

    Attributes:
        url: of the server.
        auth_env: environment variable with "user:password"; None: none.
        checkpoint: as the server lists it; None: the server's.
        steps, guidance: of the sampler.
        denoise: 0 to 1; None: as the planner asks.
        negative_prompt: added to the planner's.
        licence: of the server's model, for `preference.licences`.
        min_side_px, max_side_px: sizes the model was made for; crops are resized to fit.
        timeout_s: for one edit, waiting in the queue included.

    Raises:
        ConfigError: a value is out of range.
    """

    most_steps: ClassVar[int] = 1000

    url: str = ""
    auth_env: str | None = None
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
        if not 1 <= self.steps <= self.most_steps:
            raise ConfigError(f"steps must lie between 1 and {self.most_steps}, got {self.steps}")
        if not 0 <= self.guidance <= 100:
            raise ConfigError(f"guidance must lie between 0 and 100, got {self.guidance}")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise ConfigError(f"denoise must lie in (0, 1], got {self.denoise}")
        if not _MIN_SIDE_PX <= self.min_side_px <= self.max_side_px:
            raise ConfigError(f"sizes need {_MIN_SIDE_PX} <= min_side_px <= max_side_px")
        if not self.timeout_s > 0:
            raise ConfigError(f"timeout_s must be positive, got {self.timeout_s}")


S = TypeVar("S", bound=DiffusionServerSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """What is to be painted, whichever server does it."""

    words: str
    negative: str
    seed: int
    denoise: float
    steps: int


class Doing(Protocol):
    """Work on a server that says how far it is."""

    @property
    def doing(self) -> str: ...


class DiffusionServerTool(ABC, Generic[S]):
    """Inpaints on a server.

    Attributes:
        settings_type: of its settings.
        name, summary: of its spec.
        notes: of the last edit, where the settings count instead of the plan.
    """

    settings_type: ClassVar[type[DiffusionServerSettings]]
    name: ClassVar[str]
    summary: ClassVar[str]

    def __init__(self, settings: S | None = None) -> None:
        self.settings: S = cast(S, self.settings_type()) if settings is None else settings
        self.notes: tuple[str, ...] = ()

    @property
    def spec(self) -> ToolSpec:
        settings = self.settings
        return ToolSpec(
            name=self.name,
            version=VERSION,
            kind="mask",
            summary=self.summary,
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

        `params`: strength (0 to 1; the setting `denoise` counts before it), negative_prompt, steps.
        """
        self.notes = ()
        canvas = Canvas.of(request, multiple=_LATENT_PX, min_side_px=_MIN_SIDE_PX)
        painting = self._painting(request)
        try:
            job, work = self._job(canvas, painting)
        except ImportError as error:
            raise missing(error, self.name, "servers") from error
        reply = run(
            work,
            cancelled=request.cancelled,
            timeout_s=self.settings.timeout_s,
            doing=lambda: job.doing,
        )
        return canvas.taken_back(reply, moved=False)

    @abstractmethod
    def _job(
        self, canvas: Canvas, painting: Painting
    ) -> tuple[Doing, Callable[[], Coroutine[Any, Any, RgbArray]]]:
        """What says how far it is, and the work, which returns the server's picture."""

    def _painting(self, request: EditRequest) -> Painting:
        settings = self.settings
        negative = text(request, "negative_prompt", ""), settings.negative_prompt
        asked = fraction(request, "strength", 1.0)
        own = settings.denoise
        if own is not None and own != asked and "strength" in request.params:
            self.notes = (f"denoise {own:g} by the tool's settings; the plan asked for {asked:g}",)
        return Painting(
            words=request.instruction or request.prompt,
            negative=", ".join(part for part in negative if part),
            seed=request.seed,
            denoise=asked if own is None else own,
            steps=whole(request, "steps", settings.steps, settings.most_steps),
        )
