"""One worker for all users: their pictures are looked at and repaired one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue

from retoucher.api import Findings, Result, Retoucher
from retoucher.config import Settings
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import Event
from retoucher.domain.region import Region
from retoucher.imaging.files import PictureFile
from retoucher.ui.corrections import CorrectedReasoner


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a user chooses for a run.

    Attributes:
        tools: use only these, in this order; empty: the planner decides.
        avoid: never use these.
        rounds, seed: as in `Settings`.
        time_budget_s: None: no limit.
        quality_over_speed, keep_identity: as in `Preference`.
    """

    tools: tuple[str, ...] = ()
    avoid: frozenset[str] = frozenset()
    rounds: int = 3
    seed: int = 0
    time_budget_s: float | None = None
    quality_over_speed: bool = True
    keep_identity: bool = True

    def apply(self, settings: Settings) -> Settings:
        """Settings for regions that the user chose: no defect is too mild or too unsure then."""
        preference = replace(
            settings.preference,
            tools=self.tools,
            prefer=tuple(t for t in settings.preference.prefer if t not in self.avoid),
            avoid=self.avoid,
            only=frozenset[str](),
            skip=frozenset[str](),
            min_severity=1,
            min_confidence=0.0,
            quality_over_speed=self.quality_over_speed,
            keep_identity=self.keep_identity,
        )
        return replace(
            settings,
            preference=preference,
            rounds=self.rounds,
            seed=self.seed,
            time_budget_s=self.time_budget_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """What is to be repaired in a picture.

    Attributes:
        picture: with no path, so that nothing beside it is read.
        prompt: None: the picture's own.
        regions: in the user's order.
        said: a diagnosis for each, by region id.
        edited: ids of those that the user changed.
        settings: of the run.
    """

    picture: PictureFile
    prompt: str | None
    regions: Sequence[Region]
    said: Mapping[str, Diagnosis]
    edited: Sequence[str]
    settings: Settings


class Desk:
    """Keeps the models loaded and one thread to run them; safe to call from any thread."""

    def __init__(self, retoucher: Retoucher) -> None:
        self.retoucher = retoucher
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="retouch-ui")

    def close(self) -> None:
        """Take no more work; what runs goes on until its next step."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def find(
        self, picture: PictureFile, prompt: str | None, regions: Sequence[Region] | None = None
    ) -> Findings:
        """`Retoucher.find`, in turn."""
        find = self.retoucher.find
        return self._worker.submit(find, picture, prompt=prompt, regions=regions).result()

    def repair(self, order: Order, cancelled: Callable[[], bool]) -> Iterator[Event | Result]:
        """`Retoucher.run` in turn: its events, and last its result.

        Raises:
            RetoucherError: as `Retoucher.run`.
        """
        told: SimpleQueue[Event | Result | BaseException] = SimpleQueue()
        self._worker.submit(self._repair, order, cancelled, told.put)
        while True:
            item = told.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Result):
                return

    def _repair(
        self,
        order: Order,
        cancelled: Callable[[], bool],
        tell: Callable[[Event | Result | BaseException], None],
    ) -> None:
        try:
            agents = self.retoucher.agents
            reasoner = CorrectedReasoner(agents.reasoner, order.said, order.edited)
            retoucher = Retoucher(
                replace(agents, reasoner=reasoner), order.settings, self.retoucher.warnings
            )
            tell(
                retoucher.fix(
                    order.picture,
                    prompt=order.prompt,
                    regions=order.regions,
                    on_event=tell,
                    cancelled=cancelled,
                )
            )
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            tell(error)
