"""The composition root: wires agents into a `Retoucher`, and runs pictures through the loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retoucher import plugins, recording
from retoucher.agents import Perceiver, Reasoner, RgbArray, Tool
from retoucher.config import Settings
from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.events import Event, Stopped
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import SCHEMA_VERSION, AgentInfo, PictureInfo, Trace
from retoucher.errors import ConfigError, InputError
from retoucher.imaging.files import PictureFile, WriteReport, read_picture, write_picture
from retoucher.imaging.memory import image_from_result, picture_from_image
from retoucher.imaging.prompts import prompt_for
from retoucher.imaging.regions import find_regions
from retoucher.job import Agents, Job, LoopSettings
from retoucher.loop import run
from retoucher.perception.fusion import FusedPerceiver
from retoucher.planning.learned import LearnedPlanner
from retoucher.planning.policy import StaticPlanner
from retoucher.verification.improvement import ImprovementVerifier

Picture = str | Path | Image.Image | NDArray[np.uint8] | PictureFile
"""A file, a PIL picture, an array uint8 (H, W), (H, W, 3) or (H, W, 4), or one already read."""

PROFILES = ("embedded",)

_A = TypeVar("_A")


def _as_it_is(agent: _A) -> _A:
    return agent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """What is wrong with a picture; nothing was changed.

    Attributes:
        picture: as it was read.
        prompt, prompt_source: what it was to show, and where that was found.
        saliency: of the upright picture.
        regions, diagnoses: one diagnosis per region, in order.
        agents: what looked.
    """

    picture: PictureFile
    prompt: str
    prompt_source: str
    saliency: SaliencyMap
    regions: tuple[Region, ...]
    diagnoses: tuple[Diagnosis, ...]
    agents: tuple[AgentInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A retouched picture.

    Attributes:
        picture: the input.
        image_rgb: the result, upright, uint8 (H, W, 3).
        trace: everything that happened.
        changed: False: the result equals the input in every byte.
    """

    picture: PictureFile
    image_rgb: RgbArray
    trace: Trace
    changed: bool

    @property
    def image(self) -> Image.Image:
        """The result as an upright PIL picture, alpha kept where the input has it."""
        return image_from_result(self.picture, self.image_rgb)

    def save(self, path: str | Path) -> WriteReport:
        """Write the result in the format of the path's ending, metadata kept, our record added.

        Raises:
            OutputError: it cannot be written there; nothing half-written is left.
        """
        return write_picture(path, self.picture, self.image_rgb, recording.file_record(self.trace))


class Retoucher:
    """Finds, explains, repairs and verifies local defects in pictures.

    One instance keeps its models loaded and serves any number of pictures, one at a time.
    """

    def __init__(self, agents: Agents, settings: Settings, warnings: Sequence[str] = ()) -> None:
        self.agents, self.settings = agents, settings
        self.warnings = tuple(warnings)

    @classmethod
    def from_profile(
        cls,
        profile: str = "embedded",
        settings: Settings | None = None,
        *,
        tools: Sequence[Tool] = (),
        around_reasoner: Callable[[Reasoner], Reasoner] = _as_it_is,
        around_tool: Callable[[Tool], Tool] = _as_it_is,
    ) -> Retoucher:
        """Agents by profile: "embedded" needs no torch, no download and no network.

        Args:
            profile: one of `PROFILES`.
            settings: defaults if None.
            tools: your own, beside the installed ones; they win a name.
            around_reasoner, around_tool: put something of yours around an agent before anybody
                holds it; the verifier holds the reasoner, too.

        Raises:
            ConfigError: unknown profile.
            PluginError: an agent that the settings name is unknown or broken.
        """
        if profile not in PROFILES:
            raise ConfigError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
        settings = settings or Settings()
        members = [cast(Perceiver, _made("perceiver", n, settings)) for n in settings.perceivers]
        perceiver = members[0] if len(members) == 1 else FusedPerceiver(members)
        reasoner = around_reasoner(cast(Reasoner, _made("reasoner", settings.reasoner, settings)))
        installed, warnings = _installed_tools(settings, {tool.spec.name for tool in tools})
        learned = LearnedPlanner(settings.learning) if settings.learning.enabled else None
        agents = Agents(
            perceiver=perceiver,
            reasoner=reasoner,
            planner=learned or StaticPlanner(),
            learner=learned,
            tools={tool.spec.name: around_tool(tool) for tool in (*installed, *tools)},
            verifier=ImprovementVerifier(
                perceiver,
                reasoner,
                threshold=settings.regions.threshold,
                settings=settings.verify,
            ),
        )
        return cls(agents, settings, warnings)

    def find(
        self,
        image: Picture,
        *,
        prompt: str | None = None,
        regions: Sequence[Region] | None = None,
    ) -> Findings:
        """Perceive and diagnose; change nothing.

        Args:
            image: see `Picture`.
            prompt: what the picture should show; None: from a sidecar or the file's metadata.
            regions: diagnose these instead of perception's, in this order.

        Raises:
            InputError: the picture cannot be used.
        """
        picture = _read(image)
        found = prompt_for(picture.path, picture.metadata, prompt)
        saliency = self.agents.perceiver.perceive(picture.image_rgb, found.prompt)
        if regions is None:
            regions = find_regions(saliency, self.settings.regions)
        places = tuple(regions)
        diagnoses = self.agents.reasoner.diagnose(picture.image_rgb, found.prompt, places)
        return Findings(
            picture=picture,
            prompt=found.prompt,
            prompt_source=found.source,
            saliency=saliency,
            regions=places,
            diagnoses=diagnoses,
            agents=(self.agents.perceiver.info, self.agents.reasoner.info),
        )

    def fix(
        self,
        image: Picture,
        *,
        prompt: str | None = None,
        regions: Sequence[Region] | None = None,
        on_event: Callable[[Event], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Result:
        """Find, repair and verify; keep what is better.

        Args:
            image, prompt, regions: as in `find`.
            on_event: told everything that happens, as it happens.
            cancelled: asked between steps; when True the run stops with what is done.

        Raises:
            InputError: the picture cannot be used.
        """
        events = self.run(image, prompt=prompt, regions=regions, cancelled=cancelled)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return cast(Result, end.value)
            if on_event is not None:
                on_event(event)

    def run(
        self,
        image: Picture,
        *,
        prompt: str | None = None,
        regions: Sequence[Region] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> Generator[Event, None, Result]:
        """As `fix`, event by event; the generator's return value is the result."""
        picture = _read(image)
        found = prompt_for(picture.path, picture.metadata, prompt)
        settings = self.settings
        job = Job(
            image_rgb=picture.image_rgb,
            prompt=found.prompt,
            regions=None if regions is None else tuple(regions),
            preference=settings.preference,
            seed=settings.seed,
        )
        loop_settings = LoopSettings(
            rounds=settings.rounds,
            time_budget_s=settings.time_budget_s,
            regions=settings.regions,
            crop=settings.crop,
            stitch=settings.stitch,
            candidates=settings.candidates,
        )
        began, created_at = clock(), now().isoformat(timespec="seconds")
        stopped: Stopped | None = None
        for event in run(job, self.agents, loop_settings, clock=clock, cancelled=cancelled):
            if isinstance(event, Stopped):
                stopped = event
            yield event
        assert stopped is not None
        source = recording.pixels_sha256(picture.image_rgb)
        changed = stopped.image_rgb is not picture.image_rgb
        trace = Trace(
            schema_version=SCHEMA_VERSION,
            software=recording.SOFTWARE,
            created_at=created_at,
            picture=_picture_info(picture, source),
            prompt=found.prompt,
            prompt_source=found.source,
            seed=settings.seed,
            settings=cast(dict[str, Json], to_json(settings)),
            agents=self.infos(),
            environment=recording.environment(),
            rounds=stopped.rounds,
            stop=stopped.reason,
            left=recording.left_regions(stopped.rounds, stopped.reason),
            output_sha256=recording.pixels_sha256(stopped.image_rgb) if changed else source,
            warnings=(*self.warnings, *((stopped.error,) if stopped.error else ())),
            seconds=clock() - began,
        )
        return Result(picture=picture, image_rgb=stopped.image_rgb, trace=trace, changed=changed)

    def infos(self) -> tuple[AgentInfo, ...]:
        """What would run: every agent with version, weights and settings."""
        agents = self.agents
        tools = (_tool_info(tool) for tool in agents.tools.values())
        others = (agents.perceiver.info, agents.reasoner.info, agents.planner.info)
        return (*others, *tools, agents.verifier.info)


def _tool_info(tool: Tool) -> AgentInfo:
    """What a tool says of itself (model, device, settings), at least its name and version."""
    info: object = getattr(tool, "info", None)
    if isinstance(info, AgentInfo):
        return info
    return AgentInfo(role="tool", name=tool.spec.name, version=tool.spec.version)


def _made(kind: plugins.Kind, name: str, settings: Settings) -> object:
    return plugins.create(kind, name, settings.options.get(kind, {}).get(name))


def _installed_tools(settings: Settings, given: Collection[str]) -> tuple[list[Tool], list[str]]:
    """The tools that the settings name, every other installed one that works without being asked
    for, and a warning for each that does not work.

    Raises:
        PluginError: a named tool is unknown or broken.
    """
    named = dict.fromkeys((*settings.preference.tools, *settings.options.get("tool", {})))
    wanted = [name for name in named if name not in given]
    tools = [cast(Tool, _made("tool", name, settings)) for name in wanted]
    warnings: list[str] = []
    for plugin in plugins.discover("tool"):
        if plugin.name in wanted:
            continue
        try:
            tool = cast(Tool, plugins.create("tool", plugin.name))
        except plugins.PluginError as error:
            warnings.append(str(error))
            continue
        if not tool.spec.opt_in:
            tools.append(tool)
    return tools, warnings


def _read(image: Picture) -> PictureFile:
    if isinstance(image, PictureFile):
        return image
    if isinstance(image, str | Path):
        return read_picture(image)
    if isinstance(image, Image.Image):
        return picture_from_image(image)
    return picture_from_image(Image.fromarray(_checked_array(image)))


def _checked_array(image: object) -> NDArray[np.uint8]:
    expected = "a path, a PIL picture or a uint8 array (H, W), (H, W, 3) or (H, W, 4)"
    if not isinstance(image, np.ndarray):
        raise InputError(f"expected {expected}, got {type(image).__name__}")
    array = cast(NDArray[np.uint8], image)
    good_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not good_shape or not array.size:
        raise InputError(f"expected {expected}, got {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)


def _picture_info(picture: PictureFile, pixels_sha256: str) -> PictureInfo:
    height, width = picture.image_rgb.shape[:2]
    return PictureInfo(
        width=width,
        height=height,
        pixels_sha256=pixels_sha256,
        file_name=picture.path.name if picture.path else None,
        file_sha256=picture.sha256,
        format=picture.format,
        mode=picture.mode,
    )
