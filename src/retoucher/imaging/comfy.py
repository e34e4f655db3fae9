"""The prompt in a ComfyUI API graph: from the sampler's positive input to the text that feeds it.

A graph is {id: {"class_type": str, "inputs": {name: value or [id, output slot]}}}. There are
thousands of custom nodes, so nodes are read by what their inputs are called, and by class only
where the names do not tell. Cycles, missing nodes, wrong types and huge graphs end in "not found".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

Want = Literal["positive", "negative"]
Inputs = Mapping[str, object]

MAX_NODES = 20_000
MAX_DEPTH = 100
MAX_STEPS = 50_000

_POSITIVE: dict[Want, tuple[str, ...]] = {
    "positive": (
        "positive",
        "base_positive",
        "positive_prompt",
        "text_positive",
        "prompt_positive",
    ),
    "negative": (
        "negative",
        "base_negative",
        "negative_prompt",
        "text_negative",
        "prompt_negative",
    ),
}
_TEXTS = (
    "populated_text",
    "text",
    "text_g",
    "text_l",
    "t5xxl",
    "clip_g",
    "clip_l",
    "llama",
    "qwen25_7b",
    "prompt",
    "string",
    "value",
    "caption",
    "wildcard_text",
    "text_0",
)
"""Inputs that hold a prompt's words, the likeliest first; encoders with several are joined."""
_JOINED_TEXTS = ("text_g", "text_l", "t5xxl", "clip_g", "clip_l", "llama", "qwen25_7b")
_CONDITIONINGS = re.compile(r"(conditioning|cond)(_?\d+|_to|_from)?$|text_embeds$|guider$")
_PIPES = re.compile(r"(.*_)?pipe$|base_ctx$|(.*_)?context$|ctx(_\d+)?$|sdxl_tuple$")
_PASSED_ON = re.compile(r"$|any(_\d+)?$|anything$|input\d*$|value\d*$|source$|on_true$|on_false$")
_SAMPLER = re.compile(r"sampler", re.IGNORECASE)
_STEERED = re.compile(r"sampler|guider", re.IGNORECASE)
_OUTPUT = re.compile(r"save|preview|output", re.IGNORECASE)
_JOINS = re.compile(r"concat|join|combine|append|merge", re.IGNORECASE)
_JOINABLE = re.compile(r"(text|string|prompt|str|input|value|prepend|append)_?([a-z]|\d+)?$")
_DELIMITERS = ("delimiter", "separator", "sep", "delim")
_ZERO = re.compile(r"zero_?out", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPrompt:
    """Texts found; `certain` where a sampler leads to them, else they are a guess."""

    positive: str
    negative: str
    certain: bool


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    inputs: Inputs


def prompt_of(graph: Mapping[str, object]) -> GraphPrompt | None:
    """The prompt of an API graph, or None.

    Of several samplers the one farthest from the output counts: it made the picture, later ones
    refine it. Where no sampler leads to a text, the longest text of an encoder that feeds no
    `negative` input is taken, and marked as not certain.
    """
    nodes = _nodes(graph)
    walker = _Walker(nodes)
    for identifier in _samplers(nodes):
        positive = walker.text_at(identifier, "positive")
        if positive and positive.strip():
            negative = walker.text_at(identifier, "negative") or ""
            return GraphPrompt(positive=positive, negative=negative, certain=True)
    return _longest_text(nodes)


def _nodes(graph: Mapping[str, object]) -> dict[str, _Node]:
    nodes: dict[str, _Node] = {}
    for identifier, raw in list(graph.items())[:MAX_NODES]:
        if not isinstance(raw, dict):
            continue
        entry = cast("Mapping[str, object]", raw)
        kind, inputs = entry.get("class_type"), entry.get("inputs")
        if isinstance(kind, str) and isinstance(inputs, dict):
            nodes[identifier] = _Node(kind, cast("Inputs", inputs))
    return nodes


def _link(value: object) -> str | None:
    """The node that a link [id, slot] comes from."""
    if not isinstance(value, list):
        return None
    pair = cast("list[object]", value)
    if len(pair) != 2 or not isinstance(pair[0], (str, int)) or not isinstance(pair[1], int):
        return None
    return str(pair[0])


def _links(inputs: Inputs) -> dict[str, str]:
    """Links by the name of the input."""
    found = ((name, _link(value)) for name, value in inputs.items())
    return {name: link for name, link in found if link is not None}


def _samplers(nodes: Mapping[str, _Node]) -> list[str]:
    """Nodes that sample from conditioning: named so first, farthest from the output first."""
    depth = _depths(nodes)
    ranked: list[tuple[int, int, str]] = []
    for identifier, node in nodes.items():
        links = _links(node.inputs)
        guided = any(
            name in _POSITIVE["positive"] or _CONDITIONINGS.match(name) or _PIPES.match(name)
            for name in links
        )
        named = _SAMPLER.search(node.kind) is not None
        seeded = any("seed" in name for name in node.inputs)
        if guided and (named or seeded):
            ranked.append((0 if named else 1, -depth.get(identifier, -1), identifier))
    return [identifier for *_, identifier in sorted(ranked)]


def _depths(nodes: Mapping[str, _Node]) -> dict[str, int]:
    """Distance of every node from the nearest output, following links upstream."""
    level = [name for name, node in nodes.items() if _OUTPUT.search(node.kind)]
    depth = dict.fromkeys(level, 0)
    distance = 0
    while level:
        distance += 1
        upstream: list[str] = []
        for identifier in level:
            for source in _links(nodes[identifier].inputs).values():
                if source in nodes and source not in depth:
                    depth[source] = distance
                    upstream.append(source)
        level = upstream
    return depth


def _joined(texts: Sequence[str | None], delimiter: str = ", ") -> str | None:
    """Texts in order, without those that another one contains; None where there is none."""
    distinct = list(dict.fromkeys(text.strip() for text in texts if text and text.strip()))
    whole = [text for text in distinct if not any(text in o and text != o for o in distinct)]
    return delimiter.join(whole) or None


@dataclass(slots=True)
class _Walker:
    """Follows links upstream, each (node, want) once.

    Output slots need no look: what feeds a `positive` input comes out of the positive side.
    """

    nodes: Mapping[str, _Node]
    known: dict[tuple[str, Want], str | None] = field(
        default_factory=dict[tuple[str, Want], "str | None"]
    )
    steps: int = 0
    depth: int = 0

    def text_at(self, identifier: str, want: Want) -> str | None:
        """Words that this node puts out, None where it puts out none."""
        node = self.nodes.get(identifier)
        key = (identifier, want)
        if node is None or self.steps >= MAX_STEPS or self.depth >= MAX_DEPTH:
            return None
        if key not in self.known:
            self.known[key] = None  # a cycle comes back here and finds nothing
            self.steps += 1
            self.depth += 1
            self.known[key] = self._read(node, want)
            self.depth -= 1
        return self.known[key]

    def _value(self, value: object, want: Want) -> str | None:
        """A text as it stands, or what its link brings."""
        if isinstance(value, str):
            return value
        source = _link(value)
        return self.text_at(source, want) if source is not None else None

    def _read(self, node: _Node, want: Want) -> str | None:
        if _ZERO.search(node.kind):
            return None
        readers = (self._by_side, self._by_join, self._by_words, self._by_conditioning)
        for reader in readers:
            found = reader(node, want)
            if found is not None:
                return found
        return self._passed_on(node, want)

    def _by_side(self, node: _Node, want: Want) -> str | None:
        """Nodes with a positive and a negative side: samplers, ControlNets, loaders, stylers."""
        for name in _POSITIVE[want]:
            if name in node.inputs:
                found = self._value(node.inputs[name], want)
                if found is not None:
                    return found
        return None

    def _by_join(self, node: _Node, want: Want) -> str | None:
        """Nodes that string texts together."""
        if not _JOINS.search(node.kind):
            return None
        named = [name for name in node.inputs if _JOINABLE.match(name)]
        parts = [self._value(node.inputs[name], want) for name in sorted(named, key=_natural)]
        delimiter = next(
            (node.inputs[name] for name in _DELIMITERS if isinstance(node.inputs.get(name), str)),
            ", ",
        )
        texts = [part for part in parts if part]
        return str(delimiter).replace("\\n", "\n").join(texts) if texts else None

    def _by_words(self, node: _Node, want: Want) -> str | None:
        """Encoders and nodes that hold a text."""
        joined = [name for name in _JOINED_TEXTS if name in node.inputs]
        if len(joined) > 1:
            return _joined([self._value(node.inputs[name], want) for name in joined])
        for name in _TEXTS:
            found = self._value(node.inputs.get(name), want)
            if found is not None and found.strip():
                return found
        return None

    def _by_conditioning(self, node: _Node, want: Want) -> str | None:
        """Nodes that change or combine conditionings, guiders, and bundles ("pipes")."""
        links = _links(node.inputs)
        if want == "negative" and _STEERED.search(node.kind):
            links = {n: link for n, link in links.items() if not n.startswith("cond")}
        names = [name for name in links if _CONDITIONINGS.match(name)]
        found = _joined([self.text_at(links[name], want) for name in names])
        if found is not None:
            return found
        for name in links:
            if _PIPES.match(name):
                found = self.text_at(links[name], want)
                if found is not None:
                    return found
        return None

    def _passed_on(self, node: _Node, want: Want) -> str | None:
        """Reroutes and switches: the first input that brings a text."""
        links = _links(node.inputs)
        names = [name for name in sorted(links, key=_natural) if _PASSED_ON.match(name)]
        chosen = f"input{node.inputs.get('select')}"
        for name in [chosen, *names] if chosen in links else names:
            found = self.text_at(links[name], want)
            if found is not None:
                return found
        return None


def _natural(name: str) -> tuple[str, int, str]:
    """Sort key: text_2 before text_10."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits[:9]) if digits else -1, name


def _longest_text(nodes: Mapping[str, _Node]) -> GraphPrompt | None:
    """The longest text of an encoder that feeds no negative input."""
    negative = {
        source
        for node in nodes.values()
        for name, source in _links(node.inputs).items()
        if name.startswith("negative")
    }
    texts = [
        value
        for identifier, node in nodes.items()
        if identifier not in negative and re.search(r"encode|prompt", node.kind, re.IGNORECASE)
        for name, value in node.inputs.items()
        if (name in _TEXTS or name in _POSITIVE["positive"]) and isinstance(value, str)
    ]
    longest = max(texts, key=len, default="")
    if not longest.strip():
        return None
    return GraphPrompt(positive=longest, negative="", certain=False)
