"""Where things are on the page. What they do is said in `handlers`."""

# Gradio makes many of its types while it runs; what it does not say cannot be checked here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from retoucher.agents import ToolSpec
from retoucher.config import Settings
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.ui.masks import BRUSH_RGB
from retoucher.ui.views import WELCOME

NEW_PLACE = "a new place"
INTRO = (
    '<header class="rt-head"><h1>Agentic Retoucher</h1><p class="rt-soft">Finds local defects in '
    "generated pictures, says what is wrong, repairs only those places, and keeps a repair only if "
    "it is one.</p></header>"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finder:
    """The picture, its prompt and what was found."""

    drop: gr.File
    stage: gr.HTML
    prompt: gr.Textbox
    source: gr.HTML
    look: gr.Button
    threshold: gr.Slider


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """Masks by hand."""

    tab: gr.Tab
    which: gr.Dropdown
    editor: gr.ImageEditor
    use: gr.Button
    box: gr.Textbox
    use_box: gr.Button


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """Tools and preferences, in the order of `values`."""

    tools: gr.Dropdown
    avoid: gr.Dropdown
    rounds: gr.Slider
    seconds: gr.Number
    seed: gr.Number
    quality: gr.Checkbox
    identity: gr.Checkbox

    @property
    def values(self) -> list[Any]:
        return [
            self.tools,
            self.avoid,
            self.rounds,
            self.seconds,
            self.seed,
            self.quality,
            self.identity,
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """The run and what came of it."""

    run: gr.Button
    stop: gr.Button
    progress: gr.HTML
    compare: gr.HTML
    keep: gr.CheckboxGroup
    repairs: gr.HTML
    downloads: gr.HTML


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """All components that events read or write.

    Attributes:
        token: of the user's session; never leaves the server.
        revision: counts up whenever the list of places has to be drawn anew.
        tabs: "places", "draw" and "result".
        cards: where the list of places goes.
    """

    token: gr.State
    revision: gr.State
    tabs: gr.Tabs
    cards: gr.Column
    finder: Finder
    drawing: Drawing
    choices: Choices
    outcomes: Outcomes
    share: gr.Checkbox


def lay_out(settings: Settings, tools: Sequence[ToolSpec], *, feedback: bool) -> Page:
    """Make all components, inside an open `gr.Blocks`.

    Args:
        settings: what the page starts with.
        tools: what can be chosen.
        feedback: corrections can be kept for training.
    """
    token, revision = gr.State(""), gr.State(0)
    gr.HTML(INTRO)
    with gr.Row(elem_classes="rt-columns"):
        with gr.Column(scale=6, min_width=320):
            drop = gr.File(
                label="Picture",
                file_types=["image"],
                height=140,
                elem_id="drop",
            )
            with gr.Tabs(selected="places") as tabs:
                with gr.Tab("Found", id="places"):
                    stage = gr.HTML(WELCOME, elem_id="stage")
                    threshold = _threshold(settings)
                with gr.Tab("Draw a mask", id="draw") as draw_tab:
                    drawing = _drawing(draw_tab)
                with gr.Tab("Result", id="result"):
                    compare = gr.HTML(
                        '<p class="rt-soft">Nothing was repaired yet.</p>', elem_id="compare"
                    )
                    keep = gr.CheckboxGroup(
                        label="Keep these repairs (what is not ticked gets its original pixels)",
                        visible=False,
                        interactive=True,
                        elem_id="keep",
                    )
                    repairs = gr.HTML(elem_id="repairs")
        with gr.Column(scale=5, min_width=320):
            prompt = gr.Textbox(
                label="Prompt",
                lines=2,
                max_lines=6,
                interactive=True,
                placeholder="What the picture was to show; read from the file where it says so",
                elem_id="prompt",
            )
            source = gr.HTML(elem_id="source")
            look = gr.Button("Look again", size="sm", interactive=False, elem_id="look")
            cards = gr.Column(elem_id="cards")
            choices = _choices(settings, tools)
            share = gr.Checkbox(
                label="Keep my picture and what I say of it, for training",
                info="Off: nothing of it is kept. It is kept as soon as a repair is done.",
                value=False,
                visible=feedback,
                elem_id="share",
            )
            with gr.Row(elem_classes="rt-run"):
                run = gr.Button("Repair", variant="primary", interactive=False, elem_id="run")
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
            progress = gr.HTML(elem_id="progress")
            downloads = gr.HTML(elem_id="downloads")
    return Page(
        token=token,
        revision=revision,
        tabs=tabs,
        cards=cards,
        finder=Finder(
            drop=drop, stage=stage, prompt=prompt, source=source, look=look, threshold=threshold
        ),
        drawing=drawing,
        choices=choices,
        outcomes=Outcomes(
            run=run,
            stop=stop,
            progress=progress,
            compare=compare,
            keep=keep,
            repairs=repairs,
            downloads=downloads,
        ),
        share=share,
    )


def _threshold(settings: Settings) -> gr.Slider:
    return gr.Slider(
        label="Threshold",
        info="Saliency from which a place is listed: lower finds more",
        minimum=0.05,
        maximum=0.95,
        step=0.01,
        value=settings.regions.threshold,
        interactive=True,
        elem_id="threshold",
    )


def _drawing(tab: gr.Tab) -> Drawing:
    which = gr.Dropdown(
        label="Draw", choices=[NEW_PLACE], value=NEW_PLACE, interactive=True, elem_id="which"
    )
    colour = f"rgb{BRUSH_RGB}"
    editor = gr.ImageEditor(
        label="Paint over what is to be repaired; the eraser takes paint away",
        type="numpy",
        image_mode="RGBA",
        sources=None,
        transforms=None,
        layers=False,
        brush=gr.Brush(colors=[colour], default_color=colour, color_mode="fixed"),
        interactive=True,
        height=560,
        elem_id="editor",
    )
    use = gr.Button("Use this mask", elem_id="use-mask")
    with gr.Row(elem_classes="rt-box"):
        box = gr.Textbox(
            label="Or type a box: x0 y0 x1 y1, in pixels",
            placeholder="10 20 200 90",
            scale=3,
            min_width=180,
            elem_id="box",
        )
        use_box = gr.Button("Add this box", scale=1, min_width=120, elem_id="use-box")
    return Drawing(tab=tab, which=which, editor=editor, use=use, box=box, use_box=use_box)


def _choices(settings: Settings, tools: Sequence[ToolSpec]) -> Choices:
    names = [(f"{spec.name}: {spec.summary}", spec.name) for spec in tools]
    preference = settings.preference
    with gr.Accordion("Tools and preferences", open=False, elem_id="choices"):
        only = gr.Dropdown(
            label="Use only these tools, in this order (none: the best for each place)",
            choices=names,
            value=[name for name in preference.tools if name in {s.name for s in tools}],
            multiselect=True,
            elem_id="tools",
        )
        avoid = gr.Dropdown(
            label="Never use these",
            choices=names,
            value=sorted(preference.avoid & {s.name for s in tools}),
            multiselect=True,
        )
        rounds = gr.Slider(
            label="Rounds at most", minimum=1, maximum=10, step=1, value=min(10, settings.rounds)
        )
        with gr.Row():
            seconds = gr.Number(
                label="Stop after (seconds, 0: never)",
                value=settings.time_budget_s or 0,
                minimum=0,
                min_width=140,
            )
            seed = gr.Number(
                label="Seed", value=settings.seed, minimum=0, precision=0, min_width=140
            )
        quality = gr.Checkbox(
            label="The best tool rather than the fastest", value=preference.quality_over_speed
        )
        identity = gr.Checkbox(
            label="Keep the same person where a face is repaired", value=preference.keep_identity
        )
    return Choices(
        tools=only,
        avoid=avoid,
        rounds=rounds,
        seconds=seconds,
        seed=seed,
        quality=quality,
        identity=identity,
    )


def category_choices() -> list[tuple[str, str]]:
    """What can be wrong with a place, as a person says it; with the category's name."""
    named = [(f"{c.dimension}: {c.phrase}", c.name) for c in taxonomy().values()]
    return [*named, ("nothing is wrong", NO_DEFECT)]
