"""One edit on a ComfyUI server, as its `server.py` and `execution.py` have it.

Upload picture and mask (as temporary files), queue the workflow, wait, fetch the result. What the
server's history says counts; the websocket only tells when to look, and how far it is. Where no
websocket can be had the history is looked at now and then.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, Field
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from retoucher.agents import RgbArray
from retoucher.errors import ToolError
from retoucher.tools.servers.address import is_loopback
from retoucher.tools.servers.comfyui_errors import ExecutionFailed, refusal
from retoucher.tools.servers.comfyui_workflow import Graph, Value, Workflow
from retoucher.tools.servers.http import Server, open_client
from retoucher.tools.servers.pictures import (
    Canvas,
    decoded,
    png_of,
    png_of_mask,
    png_with_hole,
)

_POLL_S = 0.5
_LOOK_ANYWAY_S = 15.0  # a message can be lost
_SILENCE_S = 60.0  # for one request; none of them waits for a result
_GOODBYE_S = 5.0
_MESSAGE_BYTES = 8 * 2**20  # previews are small pictures


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """What is to be done, and how far it is."""

    url: str
    credentials: str | None
    workflow: Workflow
    values: dict[str, Value]
    canvas: Canvas
    doing: str = "connecting"
    prompt_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)


class _Uploaded(BaseModel):
    name: str
    subfolder: str = ""
    type: str = "input"


class _Queued(BaseModel):
    prompt_id: str


class _Picture(BaseModel):
    filename: str
    subfolder: str = ""
    type: Literal["output", "temp", "input"] = "output"


class _Output(BaseModel):
    images: list[_Picture] = Field(default_factory=list[_Picture])


class _Status(BaseModel):
    status_str: str = "success"
    messages: list[tuple[str, dict[str, Any]]] | None = None


class _Entry(BaseModel):
    outputs: dict[str, _Output] = Field(default_factory=dict[str, _Output])
    status: _Status | None = None


class _Queue(BaseModel):
    queue_running: list[list[Any]]
    queue_pending: list[list[Any]]


async def repaint(job: Job) -> RgbArray:
    """The result of the workflow, uint8 (H, W, 3).

    When it is cancelled, the prompt is taken off the queue or interrupted, and no other one.

    Raises:
        ToolError: anything that keeps the server from a result, in plain words.
    """
    client = open_client(job.url, timeout_s=_SILENCE_S, credentials=job.credentials)
    async with client:
        return await _Session(job, Server("ComfyUI", job.url, client)).repaint()


class _Session:
    def __init__(self, job: Job, server: Server) -> None:
        self.job, self.server = job, server
        self.queued = False  # perhaps: it is once the server has our request

    async def repaint(self) -> RgbArray:
        graph = self.job.workflow.filled(await self._upload())
        async with AsyncExitStack() as stack:
            socket = await self._listen(stack)
            self.job.doing = "queueing the workflow"
            try:
                await self._queue(graph)
                entry = await self._finished(socket)
            except (ToolError, asyncio.CancelledError):
                if self.queued:
                    await self._withdraw()
                raise
        picture = self._result(entry)
        self.job.doing = "fetching the result"
        data = await self.server.fetch("/view", params=picture.model_dump())
        return decoded(data, "ComfyUI")

    async def _upload(self) -> dict[str, Value]:
        """The workflow's values, with the names under which the server has picture and mask."""
        canvas, values = self.job.canvas, dict(self.job.values)
        self.job.doing = "uploading"
        if "mask" in self.job.workflow.takes:
            values["image"] = await self._upload_one(png_of(canvas.image_rgb))
            values["mask"] = await self._upload_one(png_of_mask(canvas.mask_hw))
        else:  # LoadImage turns transparency into its MASK output
            values["image"] = await self._upload_one(
                png_with_hole(canvas.image_rgb, canvas.mask_hw)
            )
        return values

    async def _upload_one(self, png: bytes) -> str:
        name = f"retoucher-{hashlib.sha256(png).hexdigest()[:24]}.png"
        stored = await self.server.ask(
            _Uploaded,
            "POST",
            "/upload/image",
            files={"image": (name, png, "image/png")},
            data={"type": "temp", "overwrite": "true"},
        )
        path = f"{stored.subfolder}/{stored.name}" if stored.subfolder else stored.name
        return path if stored.type == "input" else f"{path} [{stored.type}]"

    async def _listen(self, stack: AsyncExitStack) -> ClientConnection | None:
        """The websocket on which the server reports; None where there is none to be had."""
        job = self.job
        address = "ws" + job.url.removeprefix("http") + f"/ws?clientId={job.client_id}"
        sent = self.server.client.build_request("GET", job.url).headers
        try:
            return await stack.enter_async_context(
                connect(
                    address,
                    additional_headers={
                        k: v for k, v in sent.items() if k.lower() == "authorization"
                    },
                    max_size=_MESSAGE_BYTES,
                    max_queue=None,  # else a full queue keeps the connection from closing
                    open_timeout=_GOODBYE_S,
                    close_timeout=1,
                    proxy=None if is_loopback(job.url) else True,
                )
            )
        except (OSError, TimeoutError, WebSocketException):
            return None

    async def _queue(self, graph: Graph) -> None:
        job, self.queued = self.job, True
        response = await self.server.request(
            "POST",
            "/prompt",
            json={"prompt": graph, "client_id": job.client_id, "prompt_id": job.prompt_id},
        )
        if response.status_code == 400:
            self.queued = False
            raise ToolError(await refusal(self.server, response, job.workflow))
        if not response.is_success:
            raise ToolError(self.server.complaint(response, "POST /prompt"))
        job.prompt_id = self.server.read(_Queued, response, "POST /prompt").prompt_id
        job.doing = "waiting in the queue"

    async def _finished(self, socket: ClientConnection | None) -> _Entry:
        """What the history says once the prompt is in it."""
        path = f"/history/{self.job.prompt_id}"
        while True:
            found = await self.server.ask(dict[str, _Entry], "GET", path)
            if self.job.prompt_id in found:
                return found[self.job.prompt_id]
            if socket is None:
                await asyncio.sleep(_POLL_S)
                continue
            try:
                async with asyncio.timeout(_LOOK_ANYWAY_S):
                    await self._end(socket)
            except TimeoutError:
                pass
            except WebSocketException:
                socket = None

    async def _end(self, socket: ClientConnection) -> None:
        """Listen until the prompt has ended, whether well or not; note how far it is.

        The server says so ("executing", no node) after it has written the history.
        """
        async for message in socket:
            if isinstance(message, bytes):  # a preview
                continue
            kind, data = _event(message)
            if data.get("prompt_id") not in (None, self.job.prompt_id):
                continue
            if kind == "progress":
                node = self.job.workflow.title(str(data.get("node")))
                self.job.doing = f"{node}, step {data.get('value')} of {data.get('max')}"
            elif kind == "executing" and data.get("node") is not None:
                self.job.doing = self.job.workflow.title(str(data["node"]))
            elif kind == "executing" and data.get("prompt_id"):
                return
        raise WebSocketException("closed")

    def _result(self, entry: _Entry) -> _Picture:
        status = entry.status
        if status is not None and status.status_str != "success":
            raise ExecutionFailed.of(status.messages or [])
        output = self.job.workflow.output
        if output is not None:
            pictures = entry.outputs[output].images if output in entry.outputs else []
            if not pictures:
                title = self.job.workflow.title(output)
                raise ToolError(f"ComfyUI: the node {title!r} gave no picture")
            return pictures[-1]
        found = [each.images[-1] for each in entry.outputs.values() if each.images]
        if not found:
            raise ToolError("ComfyUI finished without a picture; end the workflow in PreviewImage")
        if len(found) > 1:
            nodes = [self.job.workflow.title(i) for i, each in entry.outputs.items() if each.images]
            raise ToolError(f"ComfyUI gave pictures at {', '.join(nodes)}; name one as output")
        return found[0]

    async def _withdraw(self) -> None:
        """Take our prompt, and only ours, off the queue; interrupt it where it runs."""
        job = self.job
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self.server.request("POST", "/queue", json={"delete": [job.prompt_id]})
                queue = await self.server.ask(_Queue, "GET", "/queue")
                # Old servers know no prompt_id here and interrupt whatever runs.
                if any(job.prompt_id in item[:2] for item in queue.queue_running):
                    await self.server.request(
                        "POST", "/interrupt", json={"prompt_id": job.prompt_id}
                    )
        except (ToolError, TimeoutError):
            job.doing += "; the server could not be told to stop"


def _event(message: str) -> tuple[str, dict[str, Any]]:
    """Type and data of a websocket message; ("", {}) for one that is none of ComfyUI's."""
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return "", {}
    if not isinstance(event, dict):
        return "", {}
    event = cast("dict[str, Any]", event)
    data = event.get("data")
    return str(event.get("type")), cast("dict[str, Any]", data) if isinstance(data, dict) else {}
