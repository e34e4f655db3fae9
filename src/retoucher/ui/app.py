"""The page: its parts, wired to what they do."""

# Gradio makes many of its types while it runs; what it does not say cannot be checked here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from retoucher.ui import views
from retoucher.ui.corrections import lettering_of
from retoucher.ui.desk import Desk
from retoucher.ui.handlers import Handlers
from retoucher.ui.layout import Page, category_choices, lay_out
from retoucher.ui.session import Place, Session, Sessions
from retoucher.ui.settings import UiSettings

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "desk", "concurrency_limit": 1}
"""Models run for one user at a time; Gradio tells the others their place in the queue."""

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
"""Past the queue; Gradio shows no message of such an event."""

SOON: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
"""Beside whatever runs, with messages."""

SETTLED = "async (...values) => { await new Promise(r => setTimeout(r, 400)); return values; }"
"""A slider that is being drawn asks a few times, not at every step."""

TITLE = "Agentic Retoucher"


def build(desk: Desk, sessions: Sessions, settings: UiSettings) -> gr.Blocks:
    """The whole page; it asks the network for nothing, and keeps what is a user's in `sessions`."""
    retoucher = desk.retoucher
    tools = [tool.spec for tool in retoucher.agents.tools.values()]
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(600, 3600)
    ) as blocks:
        page = lay_out(retoucher.settings, tools, feedback=settings.feedback is not None)
        does = Handlers(page, desk, sessions, settings)
        _visits(blocks, page, sessions)
        _wire(page, does)
        _list_places(page, does)
    return blocks


def _visits(blocks: gr.Blocks, page: Page, sessions: Sessions) -> None:
    """A session begins with the page, and ends when the page is left."""
    tokens: dict[str, str] = {}

    def begin(request: gr.Request) -> str:
        token = sessions.begin()
        tokens[str(request.session_hash)] = token
        return token

    def leave(request: gr.Request) -> None:
        sessions.leave(tokens.pop(str(request.session_hash), ""))

    # Gradio finds out by their annotations which of its objects a function wants.
    begin.__annotations__["request"] = leave.__annotations__["request"] = gr.Request
    blocks.load(
        begin, None, page.token, queue=False, show_progress="hidden", api_visibility="private"
    )
    blocks.unload(leave)


def _everything(page: Page) -> list[Any]:
    """All that events may change."""
    finder, drawing, out = page.finder, page.drawing, page.outcomes
    return [
        page.revision,
        page.tabs,
        *(finder.drop, finder.stage, finder.prompt, finder.source, finder.look, finder.threshold),
        *(drawing.which, drawing.editor, drawing.box),
        *(out.run, out.stop, out.progress, out.compare, out.keep, out.repairs, out.downloads),
    ]


def _wire(page: Page, does: Handlers) -> None:
    finder, drawing, out, token = page.finder, page.drawing, page.outcomes, page.token
    every = _everything(page)
    private: dict[str, Any] = {"api_visibility": "private"}
    slow = {**ONE_AT_A_TIME, **private}
    fast, soon = {**AT_ONCE, **private}, {**SOON, **private}
    found = [page.revision, page.tabs, finder.stage, finder.source, drawing.which]
    found += [drawing.editor, drawing.box, out.run, out.downloads]
    look: dict[str, Any] = {
        "fn": does.look,
        "inputs": [token, finder.prompt],
        "outputs": found,
        **slow,
    }
    first_look: dict[str, Any] = {**look, "fn": does.first_look}

    finder.drop.upload(does.open, [token, finder.drop], every, **soon).success(
        **first_look, show_progress_on=[finder.stage]
    )
    finder.look.click(**look, show_progress_on=[finder.stage])
    finder.prompt.submit(**look, show_progress_on=[finder.stage])
    finder.threshold.input(
        does.rethreshold,
        [token, finder.threshold],
        found,
        js=SETTLED,
        trigger_mode="always_last",
        show_progress_on=[finder.stage],
        **slow,
    )

    start: dict[str, Any] = {"fn": does.start_drawing, "inputs": [token, drawing.which], **soon}
    drawing.tab.select(**start, outputs=[drawing.editor])
    drawing.which.input(**start, outputs=[drawing.editor])
    drawing.use.click(
        does.use_mask,
        [token, drawing.which, drawing.editor],
        found,
        show_progress_on=[drawing.use],
        **slow,
    )
    for asked in (drawing.use_box.click, drawing.box.submit):
        asked(does.use_box, [token, drawing.box], found, show_progress_on=[drawing.use_box], **slow)

    out.run.click(
        does.run,
        [token, page.share, finder.prompt, *page.choices.values],
        [page.tabs, *_outcomes(page)],
        show_progress_on=[out.progress],
        **slow,
    )
    out.stop.click(does.stop, [token], [out.stop], **fast)
    out.keep.input(does.review, [token, out.keep], [page.tabs, *_outcomes(page)], **soon)


def _outcomes(page: Page) -> list[Any]:
    out = page.outcomes
    return [out.run, out.stop, out.progress, out.compare, out.keep, out.repairs, out.downloads]


def _list_places(page: Page, does: Handlers) -> None:
    """The list is drawn anew whenever the regions are others, not when the user types into it."""
    with page.cards:

        @gr.render(
            inputs=[page.token, page.revision],
            triggers=[page.revision.change],
            queue=False,
            show_progress="hidden",
        )
        def places(token: str, _: int) -> None:  # pyright: ignore[reportUnusedFunction]
            session = does.sessions.get(token)
            if session.saliency is None:
                return
            if not session.places:
                gr.HTML(_nothing(session), elem_classes="rt-nothing")
            for place in session.places:
                _place(page, does, session, place)


def _nothing(session: Session) -> str:
    return (
        '<div class="rt-empty"><p><b>Nothing was found.</b> The picture looks clean at threshold '
        f"{session.threshold:.2f}.</p><p>Lower the threshold, or draw a mask yourself.</p></div>"
    )


def _place(page: Page, does: Handlers, session: Session, place: Place) -> None:
    """One row: tick, crop and words, and under it what the user says instead."""
    id, said = place.region.id, place.diagnosis
    fast: dict[str, Any] = {**AT_ONCE, "api_visibility": "private"}
    with gr.Group(elem_classes="rt-place"):
        tick = gr.Checkbox(
            label=f"Repair {id}", value=place.chosen, container=False, interactive=True
        )
        row = gr.HTML(views.card(place, session.need_picture.image_rgb))
        with gr.Accordion(
            f"Say something else about {id}",
            open=place.drawn and not place.is_named,
            elem_classes="rt-edit",
        ):
            known = category_choices()
            category = gr.Dropdown(
                label="What is wrong",
                choices=known,
                value=said.category if said.category in {name for _, name in known} else None,
                interactive=True,
            )
            words = gr.Textbox(label="In words", value=said.description, lines=2, interactive=True)
            lines = lettering_of(said)
            reading = gr.Textbox(
                label="The lettering should read",
                info="One line for each line of lettering" if len(lines) > 1 else None,
                value="\n".join(lines) if lines else None,
                lines=max(1, len(lines)),
                visible=bool(lines),
                interactive=True,
            )
            make = gr.Textbox(
                label="What it should look like",
                info="For tools that follow words",
                value=place.correction.instruction or "",
                lines=1,
                interactive=True,
            )
            complaint = gr.HTML()
            remove = gr.Button("Take this place off the list", size="sm", visible=place.drawn)
    tick.input(
        partial(does.choose, id),
        [page.token, tick],
        [page.finder.stage, page.outcomes.run, page.outcomes.downloads],
        **fast,
    )
    said_by_user: list[Any] = [category, words, make, reading]
    for box in said_by_user:
        box.input(
            partial(does.correct, id),
            [page.token, *said_by_user],
            [row, complaint, tick, page.outcomes.run, page.outcomes.downloads],
            trigger_mode="always_last",
            **fast,
        )
    found = [page.revision, page.finder.stage, page.drawing.which]
    remove.click(
        partial(does.remove, id),
        [page.token],
        [*found, page.outcomes.run, page.outcomes.downloads],
        **fast,
    )
