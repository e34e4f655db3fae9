"""Why ComfyUI did not do it, in words that say what to install or set."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from retoucher.errors import ToolError
from retoucher.tools.servers.comfyui_workflow import Workflow
from retoucher.tools.servers.http import Response, Server, words

_MOST_LISTED = 12

_FOLDERS = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "vae_name": "vae",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "model_name": "upscale_models",
}
"""Folder under ComfyUI's models/ by the input that names a file in it."""


class _Error(BaseModel):
    type: str = ""
    message: str = ""
    details: str = ""
    extra_info: dict[str, Any] = Field(default_factory=dict[str, Any])


class _NodeErrors(BaseModel):
    errors: list[_Error] = Field(default_factory=list[_Error])
    class_type: str = ""


class _Refusal(BaseModel):
    error: _Error | str = ""
    node_errors: dict[str, _NodeErrors] | list[Any] = Field(default_factory=dict[str, _NodeErrors])


class ExecutionFailed(ToolError):
    """The workflow ran and broke."""

    @classmethod
    def of(cls, messages: list[tuple[str, dict[str, Any]]]) -> ExecutionFailed:
        """From the messages of a history entry."""
        for kind, data in messages:
            if kind == "execution_interrupted":
                return cls("ComfyUI: somebody interrupted it on the server")
            if kind == "execution_error":
                node = f"{data.get('node_type')} (node {data.get('node_id')})"
                what = data.get("exception_message") or data.get("exception_type") or "no reason"
                return cls(f"ComfyUI: {words(node)} failed: {words(what)}")
        return cls("ComfyUI: the workflow failed, and the server does not say why")


async def refusal(server: Server, response: Response, workflow: Workflow) -> str:
    """Why the server does not take the workflow, and what to do about it."""
    try:
        said = _Refusal.model_validate_json(response.content)
    except ValidationError:
        return server.complaint(response, "POST /prompt")
    lines: list[str] = []
    if isinstance(said.node_errors, dict):
        for node_id, node in said.node_errors.items():
            title = workflow.title(node_id)
            lines += [await _line(server, title, node.class_type, error) for error in node.errors]
    if lines:
        more = f" (and {len(lines) - 2} more)" if len(lines) > 2 else ""
        return "ComfyUI does not take the workflow: " + "; ".join(lines[:2]) + more
    if isinstance(said.error, str):
        return f"ComfyUI does not take the workflow: {words(said.error)}"
    if said.error.type == "missing_node_type" or "does not exist" in said.error.message:
        return await _missing_nodes(server, workflow, said.error)
    return f"ComfyUI does not take the workflow: {words(said.error.message)}"


async def _missing_nodes(server: Server, workflow: Workflow, error: _Error) -> str:
    """All node types that the server lacks, not only the first."""
    wanted = sorted({str(node["class_type"]) for node in workflow.graph.values()})
    try:
        known = await server.ask(dict[str, Any], "GET", "/object_info")
    except ToolError:
        known = None
    lacking = [] if known is None else [name for name in wanted if name not in known]
    if not lacking:
        return f"ComfyUI does not take the workflow: {words(error.message)}"
    return (
        f"ComfyUI has no node {', '.join(lacking)}: update it, or install the custom nodes that"
        " bring it (Manager > Install Missing Custom Nodes)"
    )


async def _line(server: Server, title: str, class_type: str, error: _Error) -> str:
    key = str(error.extra_info.get("input_name", ""))
    if error.type != "value_not_in_list":
        return f"{title}: {words(f'{error.message} ({error.details})')}"
    value = error.extra_info.get("received_value")
    choices = await _choices(server, class_type, key)
    known = ", ".join(choices[:_MOST_LISTED]) + (", …" if len(choices) > _MOST_LISTED else "")
    if key not in _FOLDERS:
        return f"{title}: {key} {value!r} is not among {known or 'what it knows'}"
    folder = f"models/{_FOLDERS[key]}"
    there = f"it has {known}" if known else "it has none"
    what = f"no file {value!r}" if value else f"no {key} was set"
    return f"{title}: {what}; put it in ComfyUI's {folder} or set another ({there})"


async def _choices(server: Server, class_type: str, key: str) -> list[str]:
    """What the node's input can be; a reply leaves long lists out, so it is asked for."""
    try:
        info = await server.ask(dict[str, Any], "GET", f"/object_info/{class_type}")
        inputs = TypeAdapter(dict[str, dict[str, list[Any]]]).validate_python(
            {k: v for k, v in info[class_type]["input"].items() if k in ("required", "optional")}
        )
    except (ToolError, ValidationError, KeyError, TypeError, AttributeError):
        return []
    row = inputs.get("required", {}).get(key) or inputs.get("optional", {}).get(key) or []
    if not row:
        return []
    listed = row[0]
    if listed == "COMBO" and len(row) > 1 and isinstance(row[1], dict):  # nodes of the V3 kind
        listed = cast("dict[str, Any]", row[1]).get("options")
    return [str(item) for item in cast("list[Any]", listed)] if isinstance(listed, list) else []
