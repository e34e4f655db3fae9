"""What the page's events do. Every one begins with the token of its user's session."""

# Gradio makes many of its types while it runs; what it does not say cannot be checked here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from retoucher.api import Result
from retoucher.config import Settings
from retoucher.domain.events import EditJudged
from retoucher.domain.region import Region
from retoucher.errors import InputError, RetoucherError
from retoucher.imaging.files import read_picture
from retoucher.imaging.regions import find_regions
from retoucher.report import Recorder
from retoucher.report.markup import text
from retoucher.review import Repair, fallen
from retoucher.ui import feedback, masks, views
from retoucher.ui.desk import Desk, Order, Wishes
from retoucher.ui.exports import safe_name
from retoucher.ui.forms import at_threshold, read_correction, read_wishes
from retoucher.ui.layout import NEW_PLACE, Page
from retoucher.ui.progress import Progress
from retoucher.ui.session import Place, Repaired, Session, Sessions
from retoucher.ui.settings import UiSettings

Updates = dict[Any, Any]
P = ParamSpec("P")
R = TypeVar("R")


def said_plainly(function: Callable[P, R]) -> Callable[P, R]:
    """Errors that a user can act on become a message on the page; others stay errors."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except RetoucherError as error:
            raise gr.Error(text(error), duration=20, print_exception=False) from error

    return wrapped


class Handlers:
    """Events of one page, for all its users; what belongs to a user is in the session."""

    def __init__(self, page: Page, desk: Desk, sessions: Sessions, settings: UiSettings) -> None:
        self.page, self.desk, self.sessions, self.settings = page, desk, sessions, settings

    @property
    def defaults(self) -> Settings:
        return self.desk.retoucher.settings

    # ---- the picture and what is found in it

    @said_plainly
    def open(self, token: str, path: str | None) -> Updates:
        """Take the uploaded picture into memory and remove its file; say why it is not taken."""
        if path is None:
            return {}
        session, file = self.sessions.get(token), Path(path)
        try:
            data = file.read_bytes()
        finally:
            with suppress(OSError):
                file.unlink()
        try:
            picture = read_picture(data, limits=self.settings.limits)
        except InputError as error:
            gr.Warning(text(error), duration=20, title="This file was not taken")
            return {self.page.finder.drop: None}
        session.open(picture, safe_name(file.name))
        session.threshold = self.defaults.regions.threshold
        finder, out = self.page.finder, self.page.outcomes
        return {
            finder.drop: None,
            finder.prompt: session.prompt,
            finder.source: _source(session),
            finder.look: gr.update(interactive=True),
            finder.threshold: session.threshold,
            out.progress: "",
            out.compare: '<p class="rt-soft">Nothing was repaired yet.</p>',
            out.keep: gr.update(choices=[], value=[], visible=False),
            out.repairs: "",
            self.page.tabs: gr.update(selected="places"),
            self.page.drawing.editor: None,
            **self._found(session, token),
        }

    def first_look(self, token: str, prompt: str) -> Updates:
        """Look at what was just dropped, if it was taken."""
        session = self.sessions.get(token)
        if session.picture is None or session.saliency is not None:
            return {}
        return self.look(token, prompt)

    @said_plainly
    def look(self, token: str, prompt: str) -> Updates:
        """Perceive and diagnose; what the user said of places that are still there stays."""
        session = self.sessions.get(token)
        picture = session.need_picture
        session.prompt = prompt
        findings = self.desk.find(picture, session.given_prompt)
        if session.picture is not picture:  # another was dropped meanwhile
            return {}
        session.found(findings, self.defaults.preference)
        if session.threshold != self.defaults.regions.threshold:
            return self.rethreshold(token, session.threshold)
        return {self.page.finder.source: _source(session), **self._found(session, token)}

    @said_plainly
    def rethreshold(self, token: str, threshold: float) -> Updates:
        """Other regions from the same map; only those that are new are diagnosed."""
        session = self.sessions.get(token)
        picture, saliency = session.need_picture, session.saliency
        session.threshold = threshold
        if saliency is None:
            return {}
        regions = find_regions(saliency, at_threshold(self.defaults.regions, threshold))
        unseen = [region for region in regions if session.same(region) is None]
        fresh = self.desk.find(picture, session.given_prompt, unseen).diagnoses if unseen else ()
        if session.picture is not picture:
            return {}
        session.at_threshold(regions, fresh, self.defaults.preference)
        return {self.page.finder.source: _source(session), **self._found(session, token)}

    def _found(self, session: Session, token: str) -> Updates:
        """The picture with its places, their list, and what depends on them."""
        ids = [place.region.id for place in session.places]
        return {
            self.page.finder.stage: views.stage(session),
            self.page.revision: session.next_revision(),
            self.page.drawing.which: gr.update(choices=[NEW_PLACE, *ids], value=NEW_PLACE),
            **self._choice(session, token),
        }

    def _choice(self, session: Session, token: str) -> Updates:
        count = len(session.chosen)
        places = "1 place" if count == 1 else f"{count} places"
        out = self.page.outcomes
        return {
            out.run: gr.update(
                value=f"Repair {places}" if count else "Repair",
                interactive=bool(count) and not session.running,
            ),
            out.downloads: views.downloads(session, f"files/{token}"),
        }

    # ---- what the user says of a place

    @said_plainly
    def choose(self, region_id: str, token: str, chosen: bool) -> Updates:
        """Tick or untick a place."""
        session = self.sessions.get(token)
        session.place(region_id).chosen = chosen
        return {self.page.finder.stage: views.stage(session), **self._choice(session, token)}

    @said_plainly
    def correct(
        self,
        region_id: str,
        token: str,
        category: str | None,
        words: str,
        make: str,
        lines: str | None,
    ) -> tuple[Any, ...]:
        """What the user says instead. Who names a defect wants it repaired, so it is ticked.

        Returns:
            The place's row, a complaint or nothing, its tick, the run button, the downloads.
        """
        session = self.sessions.get(token)
        image, place = session.need_picture.image_rgb, session.place(region_id)
        before, place.correction = (
            place.is_named,
            read_correction(place, category, words, make, lines),
        )
        if place.is_named != before:
            place.chosen = place.is_named
        complaint = ""
        try:
            row = views.card(place, image)
        except InputError as error:
            place.correction = replace(place.correction, lettering=None)
            row, complaint = views.card(place, image), f'<p class="rt-hint">{text(error)}</p>'
        choice = self._choice(session, token)
        out = self.page.outcomes
        return row, complaint, place.chosen, choice[out.run], choice[out.downloads]

    @said_plainly
    def remove(self, region_id: str, token: str) -> Updates:
        """Take a place that the user drew off the list."""
        session = self.sessions.get(token)
        session.places = [p for p in session.places if p.region.id != region_id]
        return self._found(session, token)

    # ---- masks by hand

    @said_plainly
    def start_drawing(self, token: str, which: str) -> Updates:
        """The picture in the editor, with the mask of the place that is to be changed."""
        image = self.sessions.get(token).need_picture.image_rgb
        height, width = image.shape[:2]
        layers: list[Any] = []
        if which != NEW_PLACE:
            region = self.sessions.get(token).place(which).region
            layers = [masks.layer(region, height, width)]
        shown = {"background": masks.canvas(image), "layers": layers, "composite": None}
        return {self.page.drawing.editor: shown}

    @said_plainly
    def use_mask(self, token: str, which: str, drawn: Mapping[str, Any] | None) -> Updates:
        """What was drawn becomes new places, or the mask of an old one."""
        session = self.sessions.get(token)
        height, width = session.need_picture.image_rgb.shape[:2]
        layers: list[Any] = list((drawn or {}).get("layers") or [])
        mask = masks.drawn_mask(layers, height, width)
        if which == NEW_PLACE:
            new = [
                Region.from_mask(part, id=id, score=1.0)
                for id, part in zip(session.drawn_ids(), masks.parts(mask), strict=False)
            ]
            return self._add(token, new)
        region = Region.from_mask(mask, id=next(session.drawn_ids()), score=1.0)
        return self._add(token, [region], instead=session.place(which).region.id)

    @said_plainly
    def use_box(self, token: str, typed: str) -> Updates:
        """A typed box becomes a new place."""
        session = self.sessions.get(token)
        box = masks.box_from(typed, *session.need_picture.image_rgb.shape[:2])
        return self._add(token, [Region.from_box(box, id=next(session.drawn_ids()))])

    def _add(self, token: str, regions: Sequence[Region], instead: str = "") -> Updates:
        session = self.sessions.get(token)
        picture = session.need_picture
        findings = self.desk.find(picture, session.given_prompt, regions)
        if session.picture is not picture:
            return {}
        session.saliency = session.saliency or findings.saliency
        session.draw(regions, findings.diagnoses, instead)
        return {
            self.page.tabs: gr.update(selected="places"),
            self.page.drawing.editor: None,
            self.page.drawing.box: "",
            **self._found(session, token),
        }

    # ---- the run

    def run(self, token: str, share: bool, prompt: str, *wishes: Any) -> Iterator[Updates]:
        """Repair the chosen places; tells of every event as it happens."""
        try:
            session = self.sessions.get(token)
            session.prompt, session.share = prompt, share
            places = _named(session)
            order = self._order(session, places, read_wishes(*wishes))
        except RetoucherError as error:
            raise gr.Error(text(error), duration=20, print_exception=False) from error
        out, stop = self.page.outcomes, session.begin_run()
        progress, recorder = Progress(), Recorder(before_rgb=order.picture.image_rgb)
        repairs: list[Repair] = []
        idle: Updates = {out.stop: gr.update(value="Stop", interactive=False)}
        try:
            yield {
                out.run: gr.update(interactive=False),
                out.stop: gr.update(interactive=True),
                out.progress: progress.html(),
            }
            for item in self.desk.repair(order, stop.is_set):
                if isinstance(item, Result):
                    session.running = False
                    if session.picture is order.picture:
                        done = Repaired(result=item, repairs=tuple(repairs), recorder=recorder)
                        session.repaired, session.rejected = done, frozenset()
                        self._keep(session)
                        ended = {out.progress: progress.html(views.ended(done))}
                        yield {
                            **idle,
                            **ended,
                            **self._choice(session, token),
                            **self._done(session),
                        }
                    else:
                        yield {**idle, **self._choice(session, token)}
                    return
                progress.see(item)
                recorder.see(item)
                if isinstance(item, EditJudged) and (repair := Repair.of(item)):
                    repairs.append(repair)
                yield {out.progress: progress.html()}
        except RetoucherError as error:
            session.running = False
            yield {**idle, out.progress: "", **self._choice(session, token)}
            raise gr.Error(text(error), duration=20, print_exception=False) from error
        finally:  # also where the page was closed, and nobody listens any more
            stop.set()
            session.running = False

    def _order(self, session: Session, places: Sequence[Place], wishes: Wishes) -> Order:
        settings = wishes.apply(self.defaults)
        settings = replace(settings, regions=at_threshold(settings.regions, session.threshold))
        return Order(
            picture=session.need_picture,
            prompt=session.given_prompt,
            regions=[place.region for place in places],
            said={place.region.id: place.diagnosis for place in places},
            edited=[p.region.id for p in places if not p.correction.is_empty],
            settings=settings,
        )

    @said_plainly
    def stop(self, token: str) -> Updates:
        """Stop the run at its next step; what was accepted stays."""
        self.sessions.get(token).stop.set()
        return {self.page.outcomes.stop: gr.update(value="Stopping …", interactive=False)}

    # ---- the result

    def _done(self, session: Session) -> Updates:
        assert session.repaired is not None
        out, repaired = self.page.outcomes, session.repaired
        before, after = repaired.result.picture.image_rgb, session.result().image_rgb
        names = [(_name(repair), i) for i, repair in enumerate(repaired.repairs)]
        kept = [i for _, i in names if i not in session.rejected]
        return {
            self.page.tabs: gr.update(selected="result"),
            out.compare: views.compare(before, after),
            out.keep: gr.update(choices=names, value=kept, visible=bool(names)),
            out.repairs: views.repairs(repaired, session.rejected),
        }

    @said_plainly
    def review(self, token: str, kept: Sequence[int]) -> Updates:
        """Take repairs back, or in again."""
        session = self.sessions.get(token)
        if session.repaired is None:
            return {}
        repairs = session.repaired.repairs
        wanted = set(range(len(repairs))) - set(kept)
        session.rejected = fallen(repairs, wanted)
        for i in sorted(session.rejected - wanted):
            gr.Info(f"{text(_name(repairs[i]))} was made on top of it and is taken back, too")
        self._keep(session)
        return {**self._done(session), **self._choice(session, token)}

    def _keep(self, session: Session) -> None:
        """What the user said, for training, where the user allows it and somebody wants it."""
        folder = self.settings.feedback
        if folder is not None and session.share:
            feedback.keep(session, folder)


def _source(session: Session) -> str:
    own = session.own_prompt
    if not session.prompt:
        words = "No prompt is known for this picture; one helps to judge lettering."
    elif session.given_prompt is None:
        words = f"From the file's metadata ({own.source})."
    else:
        words = "As you typed it."
    return f'<p class="rt-soft">{text(words)}</p>'


def _named(session: Session) -> tuple[Place, ...]:
    """The chosen places of which it is known what is wrong.

    Raises:
        InputError: there are none.
    """
    session.need_picture  # noqa: B018
    chosen = session.chosen
    if not chosen:
        raise InputError("no place is chosen; tick at least one, or draw one")
    unnamed = [place.region.id for place in chosen if not place.is_named]
    if len(unnamed) == len(chosen):
        raise InputError(f"say first what is wrong at {', '.join(unnamed)}: pick it in the list")
    if unnamed:
        gr.Warning(f"{', '.join(unnamed)}: left out, as it is not said what is wrong there")
    return tuple(place for place in chosen if place.is_named)


def _name(repair: Repair) -> str:
    return f"{repair.record.region_id} by {repair.record.tool}"
