"""One user's picture: what was found, what the user says of it, what was repaired."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from retoucher.api import Findings, Result
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.errors import InputError
from retoucher.imaging.files import PictureFile
from retoucher.imaging.prompts import FoundPrompt, recover_prompt
from retoucher.report import Recorder
from retoucher.review import Repair, settle
from retoucher.ui.corrections import Correction, corrected

MAX_SESSIONS = 200
"""Beyond so many the one that was idle for longest is forgotten."""

SAME_PLACE_OVERLAP = 0.5
"""A found region that shares so much of the smaller one with a drawn one is the same place."""

GRACE_S = 120.0
"""A closed page's picture is forgotten after so long: a connection may break and come back."""

NO_PICTURE = "there is no picture yet; drop one first"


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """A region in the list.

    Attributes:
        region: with its id, unique in the session.
        found: what reasoning said.
        drawn: by the user.
        chosen: to be repaired.
        correction: what the user says instead.
    """

    region: Region
    found: Diagnosis
    drawn: bool = False
    chosen: bool = False
    correction: Correction = field(default_factory=Correction)

    @property
    def diagnosis(self) -> Diagnosis:
        """With the user's corrections.

        Raises:
            InputError: a correction does not fit.
        """
        return corrected(self.found, self.correction)

    @property
    def is_named(self) -> bool:
        """It is known what is wrong here, so that it can be repaired."""
        return (self.correction.category or self.found.category) not in (NO_DEFECT, UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repaired:
    """A finished run: all its accepted repairs, and what the report needs."""

    result: Result
    repairs: tuple[Repair, ...]
    recorder: Recorder


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """All that is known of one user. Only its own user's requests touch it.

    Attributes:
        picture: as uploaded, with no path; None before the first.
        name: the file's name, without folders.
        own_prompt: what its metadata say.
        prompt: what the user made of it.
        saliency: of the picture, None before it was looked at.
        threshold: tau_s in force.
        places: perception's, best first, then the user's own.
        repaired: the last run, None before it.
        rejected: indices of its repairs that the user does not want.
        revision: of the list of places.
        share: the user allows that the picture and what was said of it are kept for training.
        feedback_id: under which they are.
        running: a run is going on.
        stop: set to stop it.
    """

    picture: PictureFile | None = None
    name: str = "picture"
    own_prompt: FoundPrompt = field(default_factory=lambda: FoundPrompt(prompt="", source="none"))
    prompt: str = ""
    saliency: SaliencyMap | None = None
    threshold: float = 0.4
    places: list[Place] = field(default_factory=list[Place])
    repaired: Repaired | None = None
    rejected: frozenset[int] = frozenset()
    revision: int = 0
    share: bool = False
    feedback_id: str = ""
    running: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

    def open(self, picture: PictureFile, name: str) -> None:
        """Begin with a new picture; nothing of the one before is kept."""
        self.stop.set()
        self.stop = threading.Event()
        self.picture, self.name = picture, name
        found = recover_prompt(picture.metadata)
        self.own_prompt = found or FoundPrompt(prompt="", source="none")
        self.prompt = self.own_prompt.prompt
        self.saliency, self.repaired, self.rejected = None, None, frozenset()
        self.places = []
        self.feedback_id = secrets.token_hex(12)

    @property
    def need_picture(self) -> PictureFile:
        """The picture.

        Raises:
            InputError: there is none.
        """
        if self.picture is None:
            raise InputError(NO_PICTURE)
        return self.picture

    @property
    def given_prompt(self) -> str | None:
        """The prompt to give to the API: None where it is the file's own."""
        return None if self.prompt.strip() == self.own_prompt.prompt else self.prompt

    @property
    def chosen(self) -> tuple[Place, ...]:
        return tuple(place for place in self.places if place.chosen)

    def place(self, region_id: str) -> Place:
        """The place of that id.

        Raises:
            InputError: it is gone.
        """
        for place in self.places:
            if place.region.id == region_id:
                return place
        raise InputError(f"{region_id} is not there any more; look at the list again")

    def found(self, findings: Findings, preference: Preference) -> None:
        """Take over a look at the whole picture; the user's own places stay, and what the user
        said of regions that are the same as before.

        Args:
            findings: by perception.
            preference: says which places are chosen at first.
        """
        self.saliency = findings.saliency
        self._list(findings.regions, findings.diagnoses, preference)

    def at_threshold(
        self, regions: Sequence[Region], fresh: Sequence[Diagnosis], preference: Preference
    ) -> None:
        """Take over regions of another threshold.

        Args:
            regions: all of them.
            fresh: a diagnosis for each that is not the `same` as before.
            preference: says which new places are chosen.
        """
        new = {diagnosis.region_id: diagnosis for diagnosis in fresh}
        said = [
            old.found if (old := self.same(region)) is not None else new[region.id]
            for region in regions
        ]
        self._list(regions, said, preference)

    def same(self, region: Region) -> Place | None:
        """The found place that has this very mask."""
        for place in self.places:
            old = place.region
            same_box = not place.drawn and old.box == region.box
            if same_box and np.array_equal(old.mask_hw, region.mask_hw):
                return place
        return None

    def _list(
        self, regions: Sequence[Region], said: Sequence[Diagnosis], preference: Preference
    ) -> None:
        """The found places under their new ids, then the user's own; where the user drew a mask
        over a found one, the user's stands.
        """
        own = [place for place in self.places if place.drawn]
        listed: list[Place] = []
        for region, diagnosis in zip(regions, said, strict=True):
            if any(place.region.overlap(region) >= SAME_PLACE_OVERLAP for place in own):
                continue
            found = replace(diagnosis, region_id=region.id)
            place = Place(region=region, found=found, chosen=_is_wanted(found, preference))
            if (old := self.same(region)) is not None:
                place.chosen, place.correction = old.chosen, old.correction
            listed.append(place)
        self.places = listed + own

    def draw(self, regions: Sequence[Region], said: Sequence[Diagnosis], instead: str = "") -> None:
        """Append the user's own places, chosen; `instead`: the id of the one that they replace."""
        self.places = [place for place in self.places if place.region.id != instead]
        for region, diagnosis in zip(regions, said, strict=True):
            self.places.append(Place(region=region, found=diagnosis, drawn=True, chosen=True))

    def drawn_ids(self) -> Iterator[str]:
        """Ids for the user's own places: m1, m2, ... as far as they are free."""
        taken = {place.region.id for place in self.places}
        return (id for i in count(1) if (id := f"m{i}") not in taken)

    def next_revision(self) -> int:
        """Another number for every state of the list."""
        self.revision += 1
        return self.revision

    def begin_run(self) -> threading.Event:
        """A run begins: what stops it.

        Raises:
            InputError: another one goes on.
        """
        if self.running:
            raise InputError("a run is going on; wait for it or stop it first")
        self.running, self.stop = True, threading.Event()
        return self.stop

    def result(self) -> Result:
        """The last run's result without the rejected repairs.

        Raises:
            InputError: nothing was repaired yet.
        """
        if self.repaired is None:
            raise InputError("nothing was repaired yet; choose places and repair them first")
        return settle(self.repaired.result, self.repaired.repairs, self.rejected)


def _is_wanted(said: Diagnosis, preference: Preference) -> bool:
    """Would be repaired without a user; places that are not wanted are listed, too."""
    return (
        said.category not in (NO_DEFECT, UNKNOWN)
        and said.category not in preference.skip
        and (not preference.only or said.category in preference.only)
        and said.severity >= preference.min_severity
        and said.confidence >= preference.min_confidence
    )


class Sessions:
    """All users' sessions, by a secret token; idle ones are forgotten. Safe from any thread.

    Args:
        idle_s: forgotten when not touched for so long.
        clock: seconds that only grow.
    """

    def __init__(self, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_s, self._clock = idle_s, clock
        self._sessions: dict[str, tuple[Session, float]] = {}
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new session's token."""
        token = secrets.token_urlsafe(32)
        self.sweep()
        with self._lock:
            while len(self._sessions) >= MAX_SESSIONS:
                self._drop(min(self._sessions, key=lambda t: self._sessions[t][1]))
            self._sessions[token] = Session(), self._clock()
        return token

    def get(self, token: str) -> Session:
        """The session of a token.

        Raises:
            InputError: it was forgotten.
        """
        with self._lock:
            found = self._sessions.get(token)
            if found is None:
                raise InputError("this page was idle for too long; reload it and begin again")
            self._sessions[token] = found[0], self._clock()
            return found[0]

    def leave(self, token: str) -> None:
        """The page was closed: stop its run; forget it soon, unless it comes back."""
        with self._lock:
            if token in self._sessions:
                session, _ = self._sessions[token]
                session.stop.set()
                self._sessions[token] = session, self._clock() - self._idle_s + GRACE_S

    def sweep(self) -> None:
        """Forget what is idle; a session whose run goes on is not."""
        now = self._clock()
        with self._lock:
            for token, (session, touched) in list(self._sessions.items()):
                if not session.running and now - touched > self._idle_s:
                    self._drop(token)

    def end_all(self) -> None:
        """Stop every run."""
        with self._lock:
            for token in list(self._sessions):
                self._drop(token)

    def _drop(self, token: str) -> None:
        session, _ = self._sessions.pop(token)
        session.stop.set()
