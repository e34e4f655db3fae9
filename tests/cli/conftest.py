"""The command in-process, with agents that see one colour, and pictures that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retoucher.agents import EditRequest, RgbArray
from retoucher.api import Retoucher
from retoucher.cli.main import main
from retoucher.config import Settings
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.job import Agents
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import ScriptedReasoner, ScriptedTool, ScriptedVerifier, paint

MAGENTA = (255, 0, 255)
BLOT = (slice(20, 36), slice(30, 60))
"""Rows and columns of the defect in `blotted`."""

CORE = (slice(23, 33), slice(33, 57))
"""The part of it in which no feather shows."""


def clean(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows + 60, columns + 40, rows * 0 + 90], axis=2).clip(0, 250).astype(np.uint8)


def blotted(height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    picture = clean(height, width)
    picture[BLOT] = MAGENTA
    return picture


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def load(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


class MagentaPerceiver:
    """Sees a defect wherever a pixel is magenta."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="magenta", version="0")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        return SaliencyMap((image_rgb == MAGENTA).all(axis=2).astype(np.float32) * np.float32(0.9))


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("retouch: ")]


Command = Callable[..., Said]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `retouch` in this process, with the agents it would really use."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        code = stop.value.code
        return Said(code=int(code) if code is not None else 0, out=said.out, err=said.err)

    return run


Edit = Callable[[EditRequest], RgbArray]


@pytest.fixture
def scripted(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Command]:
    """Run `retouch` with the magenta perceiver and a tool that makes the given edits in turn."""

    def make(edits: Sequence[Edit] = (paint(128),), accepted: Sequence[bool] = (True,)) -> Command:
        def from_profile(profile: str = "embedded", settings: Settings | None = None) -> Retoucher:
            agents = Agents(
                perceiver=MagentaPerceiver(),
                reasoner=ScriptedReasoner(),
                planner=StaticPlanner(),
                tools={"brush": ScriptedTool("brush", list(edits))},
                verifier=ScriptedVerifier(accepted),
            )
            return Retoucher(agents, settings or Settings())

        monkeypatch.setattr(Retoucher, "from_profile", from_profile)
        return command

    return make
