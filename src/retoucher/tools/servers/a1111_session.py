"""One edit on an AUTOMATIC1111 or Forge server, as their `modules/api/api.py` has it.

The request for the picture stays open until it is done; beside it the progress is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, Field

from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Json
from retoucher.errors import ToolError
from retoucher.tools.servers.http import Response, Server, open_client
from retoucher.tools.servers.pictures import decoded, from_base64

_PROGRESS_S = 1.0
_GOODBYE_S = 5.0


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """What is to be done, and how far it is."""

    url: str
    credentials: str | None
    payload: Mapping[str, Json]
    timeout_s: float
    doing: str = "sending the request"
    task_id: str = field(default_factory=lambda: f"task(retoucher-{uuid.uuid4().hex})")


class _Reply(BaseModel):
    images: list[str] | None = None


class _State(BaseModel):
    job_count: int = 0
    sampling_step: int = 0
    sampling_steps: int = 0


class _Progress(BaseModel):
    """`current_task` came with web UI 1.6; None also where nothing runs."""

    state: _State = Field(default_factory=_State)
    current_task: str | None = None


async def repaint(job: Job) -> RgbArray:
    """The picture that img2img makes, uint8 (H, W, 3).

    When it is cancelled while it runs, the server is told to interrupt it.

    Raises:
        ToolError: anything that keeps the server from a result, in plain words.
    """
    silence_s = job.timeout_s + 10  # the caller counts the time, and then the job is interrupted
    client = open_client(job.url, timeout_s=silence_s, credentials=job.credentials)
    async with client:
        server = Server("the web UI", job.url, client)
        watching = asyncio.ensure_future(_watch(job, server))
        try:
            response = await server.request(
                "POST",
                "/sdapi/v1/img2img",
                json={**job.payload, "force_task_id": job.task_id},
            )
        except asyncio.CancelledError:
            await _interrupt(job, server)
            raise
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        if not response.is_success:
            raise ToolError(_complaint(server, response))
        images = server.read(_Reply, response, "img2img").images
        if not images:
            raise ToolError("the web UI returned no picture; was it interrupted on the server?")
        return decoded(from_base64(images[0], "the web UI"), "the web UI")


async def _watch(job: Job, server: Server) -> None:
    """Note how far it is; what goes wrong here is no reason to give up."""
    while True:
        await asyncio.sleep(_PROGRESS_S)
        with contextlib.suppress(ToolError):
            job.doing = _words(job, await _progress(server))


async def _progress(server: Server) -> _Progress:
    return await server.ask(
        _Progress, "GET", "/sdapi/v1/progress", params={"skip_current_image": "true"}
    )


def _words(job: Job, progress: _Progress) -> str:
    state = progress.state
    if _is_other(job, progress):
        return "waiting for another job"
    if state.sampling_steps:
        return f"step {state.sampling_step} of {state.sampling_steps}"
    return "waiting" if not state.job_count else "preparing"


def _is_other(job: Job, progress: _Progress) -> bool:
    return progress.current_task not in (None, "", job.task_id)


async def _interrupt(job: Job, server: Server) -> None:
    """Stop our job. The server can only interrupt what runs, so another's job is let alone."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            progress = await _progress(server)
            if _is_other(job, progress):
                job.doing += "; the server will still run it when its turn comes"
            elif progress.state.job_count:
                await server.request("POST", "/sdapi/v1/interrupt")
    except (ToolError, TimeoutError):
        job.doing += "; the server could not be told to stop"


def _complaint(server: Server, response: Response) -> str:
    if response.status_code == 401:
        return f"{server.url} wants a user and password: name their variable as auth_env"
    text = server.complaint(response, "img2img")
    if response.status_code == 404 and "not found" in text.lower():
        if "model" in text.lower() or "sampler" in text.lower():
            return f"{text}; set checkpoint or sampler to a name that it lists"
        return f"{text}; start the web UI with --api"
    return text
