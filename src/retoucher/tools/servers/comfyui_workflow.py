"""ComfyUI workflows in API format, and putting our values into them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from retoucher.errors import ConfigError
from retoucher.tables import nearest

Graph = dict[str, dict[str, Any]]
"""Nodes by id: class_type, inputs, and _meta with the title; as "Export (API)" writes them."""

Value = str | int | float

NAMES = (
    "image",
    "mask",
    "prompt",
    "negative_prompt",
    "seed",
    "denoise",
    "steps",
    "guidance",
    "checkpoint",
    "width",
    "height",
)
"""What a workflow can be given; %name% in any text input stands for it."""

_HOLDER = re.compile(f"%({'|'.join(NAMES)})%")
_MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A workflow and where our values go in it.

    Attributes:
        graph: never written to.
        bindings: per name of `NAMES`, the node id and input that take it, beside its placeholders.
        output: id of the node whose picture is the result; None: whichever has one.
    """

    graph: Graph
    bindings: Mapping[str, tuple[str, str]]
    output: str | None = None

    @property
    def takes(self) -> frozenset[str]:
        """The names that reach the workflow."""
        held = {m.group(1) for text in _texts(self.graph) for m in _HOLDER.finditer(text)}
        return frozenset(held | self.bindings.keys())

    def filled(self, values: Mapping[str, Value]) -> Graph:
        """The workflow to queue: each placeholder and bound input replaced by its value.

        An input that is only a placeholder takes the value's type; inside a longer text the value
        is written out. What is put in is never itself searched for placeholders.

        Raises:
            ConfigError: the workflow wants a value that is not set.
        """
        for name in sorted(self.takes - values.keys()):
            raise ConfigError(f"the workflow wants %{name}%, which is not set: set {name}")
        graph = copy.deepcopy(self.graph)
        for node in graph.values():
            node["inputs"] = {k: _filled(v, values) for k, v in node["inputs"].items()}
        for name, (node_id, key) in self.bindings.items():
            graph[node_id]["inputs"][key] = values[name]
        return graph

    def title(self, node_id: str) -> str:
        """What a person calls the node: its title, else its class, else its id."""
        node = self.graph.get(node_id, {})
        title = node.get("_meta", {}).get("title")
        return str(title or node.get("class_type") or node_id)


def load_workflow(path: str | None, bindings: Mapping[str, str], output: str | None) -> Workflow:
    """The workflow in a file, or the one that ships.

    Args:
        path: a JSON file in API format; None: ours.
        bindings: per name of `NAMES`, "node.input", where node is an id or a title that only one
            node has.
        output: id or title of the node whose picture is the result.

    Raises:
        ConfigError: no such file, another format, or a node that is not in it.
    """
    where = path or "the shipped workflow"
    graph = _graph(_text(path), where)
    places: dict[str, tuple[str, str]] = {}
    for name, place in bindings.items():
        if name not in NAMES:
            raise ConfigError(f"bindings: {name!r} is nothing to bind{nearest(name, list(NAMES))}")
        node, dot, key = place.rpartition(".")
        if not dot or not key:
            raise ConfigError(f"bindings.{name} must be 'node.input', got {place!r}")
        node_id = _find(graph, node, f"bindings.{name}", where)
        if key not in graph[node_id]["inputs"]:
            known = sorted(graph[node_id]["inputs"])
            raise ConfigError(
                f"bindings.{name}: {node!r} has no input {key!r}{nearest(key, known)}"
            )
        places[name] = (node_id, key)
    result = None if output is None else _find(graph, output, "output", where)
    workflow = Workflow(graph=graph, bindings=places, output=result)
    if "image" not in workflow.takes:
        raise ConfigError(
            f"{where} takes no picture: write %image% where LoadImage names its file,"
            " or set bindings.image"
        )
    return workflow


def _text(path: str | None) -> str:
    if path is None:
        return (resources.files("retoucher.tools.servers") / "comfyui_inpaint.json").read_text(
            "utf-8"
        )
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"workflow {path} is larger than {_MOST_BYTES >> 20} MiB")
        return data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read workflow {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"workflow {path} is no JSON") from error


def _graph(text: str, where: str) -> Graph:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is no JSON: {error}") from error
    if isinstance(data, dict) and "nodes" in data and "links" in data:
        raise ConfigError(
            f"{where} is a workflow for the editor; save it with Workflow > Export (API)"
        )
    nodes = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if not nodes or not all(_is_node(node) for node in nodes.values()):
        raise ConfigError(f"{where} is no ComfyUI workflow in API format")
    return cast(Graph, nodes)


def _is_node(node: object) -> bool:
    if not isinstance(node, dict):
        return False
    node = cast("dict[str, object]", node)
    return (
        isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
        and isinstance(node.get("_meta", {}), dict)
    )


def _find(graph: Graph, name: str, setting: str, where: str) -> str:
    if name in graph:
        return name
    titled = [i for i, node in graph.items() if node.get("_meta", {}).get("title") == name]
    if len(titled) == 1:
        return titled[0]
    if titled:
        raise ConfigError(f"{setting}: {len(titled)} nodes are called {name!r}; name one by its id")
    known = [str(node.get("_meta", {}).get("title") or i) for i, node in graph.items()]
    raise ConfigError(f"{setting}: {where} has no node {name!r}{nearest(name, known)}")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        inputs = cast("dict[str, object]", value)
        return [text for key, v in inputs.items() if key != "_meta" for text in _texts(v)]
    return []


def _filled(value: Any, values: Mapping[str, Value]) -> Any:
    if not isinstance(value, str):
        return value
    whole = _HOLDER.fullmatch(value)
    if whole:
        return values[whole.group(1)]
    return _HOLDER.sub(lambda match: str(values[match.group(1)]), value)
