"""An AUTOMATIC1111 web UI on loopback: the part of its modules/api/api.py that the tool speaks to.

One job at a time behind a lock, as there; what paints is OpenCV's inpainting.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np

from tests.tools.servers.loopback import (
    Loopback,
    Reply,
    Request,
    Rgb,
    json_reply,
    opened,
    png,
    repainted,
)

CHECKPOINTS = ("v1-5-inpainting.safetensors [c6bbc15e32]", "deliberate.safetensors [9aba26abdf]")
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M")


@dataclass
class Behaviour:
    """What goes wrong."""

    step_s: float = 0.0
    reply: Callable[[Request], Reply] | None = None
    wrong_size: tuple[int, int] | None = None  # width, height
    auth: str | None = None  # user:password
    knows_tasks: bool = True  # False: before 1.6


@dataclass
class WebuiServer:
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        self.lock, self.interrupted = threading.Lock(), threading.Event()
        self.interrupts = 0
        self.task: str | None = None
        self.state = {"job_count": 0, "sampling_step": 0, "sampling_steps": 0, "job": ""}
        self.payloads: list[dict[str, object]] = []
        self.loopback = Loopback(
            {
                "POST /sdapi/v1/img2img": self._guarded(self._img2img),
                "GET /sdapi/v1/progress": self._guarded(self._progress),
                "POST /sdapi/v1/interrupt": self._guarded(self._interrupt),
            }
        )
        self.url = self.loopback.url

    @contextmanager
    def running(self) -> Iterator[WebuiServer]:
        with self.loopback.running():
            yield self
            self.interrupted.set()

    def _guarded(self, route: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        def guarded(request: Request) -> Reply:
            auth = self.behaviour.auth
            sent = request.headers.get("Authorization", "")
            wanted = "Basic " + base64.b64encode((auth or "").encode()).decode()
            if auth is not None and sent != wanted:
                return json_reply({"error": "HTTPException", "detail": "Not authenticated"}, 401)
            return route(request)

        return guarded

    def _img2img(self, request: Request) -> Reply:
        if self.behaviour.reply is not None:
            return self.behaviour.reply(request)
        asked = request.json
        self.payloads.append(asked)
        settings = asked.get("override_settings") or {}
        checkpoint = settings.get("sd_model_checkpoint")
        if checkpoint is not None and checkpoint not in CHECKPOINTS:
            return _error("RuntimeError", f"model {checkpoint!r} not found", 500)
        if asked.get("sampler_name", "Euler") not in SAMPLERS:
            return _error("HTTPException", "", 404, detail="Sampler not found")
        with self.lock:
            self.task = asked["force_task_id"]
            self.interrupted.clear()
            self.state.update(job_count=1, sampling_step=0, sampling_steps=asked["steps"])
            try:
                out = self._paint(asked)
            finally:
                self.task = None
                self.state.update(job_count=0, sampling_step=0)
        images = [base64.b64encode(png(out)).decode()]
        reply = {"images": images, "parameters": {}, "info": json.dumps({"seed": asked["seed"]})}
        return json_reply(reply)

    def _paint(self, asked: dict[str, object]) -> Rgb:
        for step in range(int(str(asked["steps"]))):
            if self.interrupted.wait(self.behaviour.step_s) or self.interrupted.is_set():
                break
            self.state["sampling_step"] = step + 1
        size = (int(str(asked["width"])), int(str(asked["height"])))
        first = asked["init_images"]
        assert isinstance(first, list)
        image = np.asarray(opened(base64.b64decode(first[0])).convert("RGB").resize(size))
        mask = np.asarray(opened(base64.b64decode(str(asked["mask"]))).convert("L").resize(size))
        if asked["inpainting_mask_invert"]:
            mask = 255 - mask
        inside = mask > 127
        out = repainted(
            image, inside, int(str(asked["seed"])), float(str(asked["denoising_strength"]))
        )
        # The web UI softens the mask and lays the old picture over what is outside it.
        blur = int(str(asked["mask_blur"]))
        share = inside.astype(np.float32)
        if blur:
            share = np.asarray(cv2.GaussianBlur(share, (0, 0), blur / 4))
        mixed = image + share[..., None] * (out.astype(np.float32) - image)
        out = np.rint(np.where(inside[..., None], out, mixed)).astype(np.uint8)
        if self.behaviour.wrong_size is not None:
            out = np.asarray(cv2.resize(out, self.behaviour.wrong_size), np.uint8)
        return out

    def _progress(self, request: Request) -> Reply:
        assert request.query["skip_current_image"] == "true"
        steps = max(1, self.state["sampling_steps"])  # type: ignore[type-var]
        reply: dict[str, object] = {
            "progress": 0.01 + int(self.state["sampling_step"]) / int(steps),
            "eta_relative": 0.0,
            "state": dict(self.state),
            "current_image": None,
            "textinfo": None,
        }
        if self.behaviour.knows_tasks:
            reply["current_task"] = self.task
        return json_reply(reply)

    def _interrupt(self, request: Request) -> Reply:
        self.interrupts += 1
        self.interrupted.set()
        return json_reply({})


def _error(kind: str, errors: str, status: int, *, detail: str = "") -> Reply:
    return json_reply({"error": kind, "detail": detail, "body": "", "errors": errors}, status)


def other_job(server: WebuiServer, seconds: float) -> threading.Thread:
    """Somebody else's picture, holding the server for so long."""

    def work() -> None:
        with server.lock:
            server.task = "task(somebody else)"
            server.state.update(job_count=1)
            time.sleep(seconds)
            server.task = None
            server.state.update(job_count=0)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while server.task is None:
        time.sleep(0.005)
    return thread
