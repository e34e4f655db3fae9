"""Image-edit services on loopback: Gemini's generateContent and OpenAI's images/edits.

The pictures they return are edited where the request says so, repainted by OpenCV, at a size of
the service's own, a little off and with another colour balance, as such models return them.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np

from tests.tools.servers.loopback import (
    Loopback,
    Mask,
    Reply,
    Request,
    Rgb,
    json_reply,
    opened,
    png,
    repainted,
)


@dataclass
class Behaviour:
    """What goes wrong."""

    wait_s: float = 0.0
    replies: list[Callable[[Request], Reply]] = field(default_factory=list)  # the first ones
    size: tuple[int, int] | None = None  # width, height of the result; None: as sent
    shift_px: tuple[int, int] = (0, 0)
    links: str | None = None  # return a link to this server instead of the picture


@dataclass
class _Service:
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        self.loopback = Loopback(self.routes())
        self.url = self.loopback.url
        self.shown: dict[str, bytes] = {}

    def routes(self) -> dict[str, Callable[[Request], Reply | None]]:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[_Service]:
        with self.loopback.running():
            yield self

    def planned(self, request: Request) -> Reply | None:
        time.sleep(self.behaviour.wait_s)
        return self.behaviour.replies.pop(0)(request) if self.behaviour.replies else None

    def edited(self, image: Rgb, mask: Mask) -> Rgb:
        out = repainted(image, mask)
        dx, dy = self.behaviour.shift_px
        if dx or dy:
            matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
            size = (image.shape[1], image.shape[0])
            out = cv2.warpAffine(out, matrix, size, borderMode=cv2.BORDER_REFLECT)
        if self.behaviour.size is not None:
            out = cv2.resize(np.asarray(out), self.behaviour.size, interpolation=cv2.INTER_CUBIC)
        return np.asarray(out, np.uint8)


class GeminiServer(_Service):
    """`POST /v1/models/{model}:generateContent`, as the REST reference has it."""

    key = "a-key"
    models = ("gemini-3.1-flash-image", "gemini-3-pro-image")

    def routes(self) -> dict[str, Callable[[Request], Reply | None]]:
        return {"POST /v1/models/": self._generate}

    def _generate(self, request: Request) -> Reply:
        if request.headers.get("x-goog-api-key") != self.key:
            reason = "API key not valid. Please pass a valid API key."
            return gemini_error(400, reason, "INVALID_ARGUMENT")
        model = request.path.removeprefix("/v1/models/").removesuffix(":generateContent")
        if model not in self.models:
            return gemini_error(404, f"models/{model} is not found for API version v1", "NOT_FOUND")
        planned = self.planned(request)
        if planned is not None:
            return planned
        parts = request.json["contents"][0]["parts"]
        sent = parts[0]["inlineData"]
        # JSON of protocol buffers may spell names either way.
        assert sent.get("mimeType", sent.get("mime_type")) == "image/png"
        image = np.asarray(opened(_base64(sent["data"])).convert("RGB"))
        box = re.search(r"\[(\d+), (\d+), (\d+), (\d+)\]", parts[1]["text"])
        assert box, "the words name no place"
        height, width = image.shape[:2]
        top, left, bottom, right = (int(v) / 1000 for v in box.groups())
        mask = np.zeros((height, width), bool)
        mask[
            int(top * height) : -int(-bottom * height // 1),
            int(left * width) : -int(-right * width // 1),
        ] = True
        out = self.edited(image, mask)
        thought = {"thought": True, **inline(png(np.zeros((16, 16, 3), np.uint8)))}
        return gemini_reply([thought, {"text": "Here it is."}, inline(png(out))])


def _base64(text: str) -> bytes:
    """Either alphabet, padded or not, as JSON of protocol buffers may have it."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def inline(data: bytes, kind: str = "image/png") -> dict[str, object]:
    return {"inlineData": {"mimeType": kind, "data": base64.b64encode(data).decode()}}


def gemini_reply(parts: list[dict[str, object]], finish: str = "STOP", **more: object) -> Reply:
    candidate = {
        "content": {"role": "model", "parts": parts},
        "finishReason": finish,
        "index": 0,
        **more,
    }
    return json_reply(
        {
            "candidates": [candidate],
            "usageMetadata": {"promptTokenCount": 300, "totalTokenCount": 1600},
            "modelVersion": "gemini-3.1-flash-image",
            "responseId": "x",
        }
    )


def gemini_error(code: int, message: str, status: str) -> Reply:
    return json_reply({"error": {"code": code, "message": message, "status": status}}, code)


class OpenAIServer(_Service):
    """`POST /v1/images/edits`, as the API reference has it; transparent in the mask: edit."""

    key: str | None = None

    def routes(self) -> dict[str, Callable[[Request], Reply | None]]:
        return {"POST /v1/images/edits": self._edit, "GET /shown/": self._show}

    def _edit(self, request: Request) -> Reply:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return openai_error(401, "Incorrect API key provided", "invalid_api_key")
        planned = self.planned(request)
        if planned is not None:
            return planned
        form = request.form
        image = opened(form["image"][1])
        size = form["size"][1].decode()
        if any(int(side) % 16 for side in size.split("x")):
            return openai_error(400, f"Invalid size {size!r}", "invalid_value")
        mask = np.zeros((image.height, image.width), bool)
        if "mask" in form:
            hole = opened(form["mask"][1])
            if hole.mode != "RGBA" or hole.size != image.size:
                return openai_error(400, "Invalid mask image format", "invalid_image_file")
            mask = np.asarray(hole.getchannel("A")) == 0
        out = png(self.edited(np.asarray(image.convert("RGB")), mask))
        if self.behaviour.links is not None:
            self.shown["/shown/1.png"] = out
            return json_reply(
                {"created": 1, "data": [{"url": f"{self.behaviour.links}/shown/1.png"}]}
            )
        return json_reply({"created": 1, "data": [{"b64_json": base64.b64encode(out).decode()}]})

    def _show(self, request: Request) -> Reply:
        data = self.shown.get(request.path)
        return Reply(status=404) if data is None else Reply(body=data, kind="image/png")


def openai_error(status: int, message: str, code: str) -> Reply:
    kind = "invalid_request_error"
    return json_reply(
        {"error": {"message": message, "type": kind, "param": None, "code": code}}, status
    )
