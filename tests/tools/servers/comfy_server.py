"""A ComfyUI on loopback: the interface of its server.py and execution.py, with nodes over numpy.

Replies, messages and their order, error types and history are those of the real server. What is
behind a KSampler is OpenCV's inpainting.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.frames import Frame, Opcode

from tests.tools.servers.loopback import (
    Loopback,
    Reply,
    Request,
    json_reply,
    opened,
    png,
    repainted,
)

CHECKPOINTS = ["sd-v1-5-inpainting.safetensors", "juggernautXL.safetensors"]
SAMPLERS = ["euler", "dpmpp_2m"]
SCHEDULERS = ["normal", "karras"]

INPUTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "CheckpointLoaderSimple": {"ckpt_name": (CHECKPOINTS,)},
    "LoadImage": {"image": (["example.png"], {"image_upload": True})},
    "LoadImageMask": {
        "image": (["example.png"], {"image_upload": True}),
        "channel": (["alpha", "red", "green", "blue"],),
    },
    "CLIPTextEncode": {"text": ("STRING", {"multiline": True}), "clip": ("CLIP",)},
    "InpaintModelConditioning": {
        "positive": ("CONDITIONING",),
        "negative": ("CONDITIONING",),
        "vae": ("VAE",),
        "pixels": ("IMAGE",),
        "mask": ("MASK",),
        "noise_mask": ("BOOLEAN", {"default": True}),
    },
    "KSampler": {
        "model": ("MODEL",),
        "seed": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF}),
        "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
        "cfg": ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}),
        "sampler_name": (SAMPLERS,),
        "scheduler": (SCHEDULERS,),
        "positive": ("CONDITIONING",),
        "negative": ("CONDITIONING",),
        "latent_image": ("LATENT",),
        "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}),
    },
    "VAEDecode": {"samples": ("LATENT",), "vae": ("VAE",)},
    "ImageScaleBy": {"image": ("IMAGE",), "scale_by": ("FLOAT", {"min": 0.01, "max": 8.0})},
    "PreviewImage": {"images": ("IMAGE",)},
    "SaveImage": {"images": ("IMAGE",), "filename_prefix": ("STRING", {})},
}
OUTPUT_NODES = ("PreviewImage", "SaveImage")
VALIDATED_BY_THEMSELVES = ("LoadImage", "LoadImageMask")


class Interrupted(Exception):
    pass


@dataclass
class Behaviour:
    """What goes wrong."""

    step_s: float = 0.0
    refuse_websocket: bool = False
    drop_websocket_after: int | None = None  # messages
    fail_with: str | None = None
    view: Callable[[bytes], Reply] | None = None
    history: Reply | None = None
    upload: Reply | None = None
    prompt: Reply | None = None
    without_nodes: tuple[str, ...] = ()
    old_server: bool = False  # mints its own prompt ids, interrupts whatever runs
    vae_noise: float = 0.0
    token: str | None = None


@dataclass
class Prompt:
    number: int
    id: str
    graph: dict[str, Any]
    client_id: str | None
    outputs: list[str]

    @property
    def item(self) -> list[Any]:
        return [self.number, self.id, self.graph, {"client_id": self.client_id}, self.outputs]


@dataclass
class ComfyServer:
    behaviour: Behaviour = field(default_factory=Behaviour)

    def __post_init__(self) -> None:
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.pending: list[Prompt] = []
        self.current: Prompt | None = None
        self.history: dict[str, Any] = {}
        self.cache: dict[str, Any] = {}
        self.interrupts: list[str | None] = []
        self.sockets: dict[str, Request] = {}
        self.sent = 0
        self.interrupt = threading.Event()
        self.lock = threading.RLock()
        self.more = threading.Condition(self.lock)
        self.closing = False
        self.loopback = Loopback(
            {
                "GET /ws": self._guarded(self._ws),
                "POST /upload/image": self._guarded(self._upload),
                "POST /prompt": self._guarded(self._post_prompt),
                "GET /history/": self._guarded(self._history),
                "GET /queue": self._guarded(self._get_queue),
                "POST /queue": self._guarded(self._post_queue),
                "POST /interrupt": self._guarded(self._interrupt),
                "GET /view": self._guarded(self._view),
                "GET /object_info": self._guarded(self._object_info),
                "GET /object_info/": self._guarded(self._object_info),
            }
        )
        self.url = self.loopback.url
        self.worker = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> ComfyServer:
        self.worker.start()
        self._running = self.loopback.running()
        self._running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        with self.more:
            self.closing = True
            self.interrupt.set()
            self.more.notify_all()
        self.worker.join()
        for request in self.sockets.values():
            request.handler.connection.close()
        self._running.__exit__(None, None, None)

    def _guarded(self, route: Callable[[Request], Reply | None]) -> Callable[..., Reply | None]:
        def guarded(request: Request) -> Reply | None:
            token = self.behaviour.token
            if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
                return Reply(status=401, body=b"who are you?", kind="text/plain")
            return route(request)

        return guarded

    # server.py

    def _ws(self, request: Request) -> Reply | None:
        if self.behaviour.refuse_websocket:
            return Reply(status=403, kind="text/plain")
        key = request.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        handler, sid = request.handler, request.query["clientId"]
        handler.send_response(101)
        for name, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
        ):
            handler.send_header(name, value)
        handler.end_headers()
        self.sockets[sid] = request
        self._send("status", {"status": self._queue_info(), "sid": sid}, sid)
        while (data := handler.connection.recv(4096)) and data[0] & 0x0F != Opcode.CLOSE:
            pass  # a client sends nothing else but pongs
        self._frame(request, Opcode.CLOSE, (1000).to_bytes(2, "big"))
        self.sockets.pop(sid, None)
        return None

    def _send(self, kind: str, data: dict[str, Any], sid: str | None) -> None:
        request = self.sockets.get(sid or "")
        if request is None:
            return
        limit = self.behaviour.drop_websocket_after
        if limit is not None and self.sent >= limit:
            request.handler.connection.shutdown(2)
            self.sockets.pop(sid or "", None)
            return
        self.sent += 1
        text = json.dumps({"type": kind, "data": data}).encode()
        self._frame(request, Opcode.TEXT, text)

    def _frame(self, request: Request, opcode: Opcode, data: bytes) -> None:
        with contextlib.suppress(OSError):  # as send_socket_catch_exception
            request.handler.wfile.write(Frame(opcode, data).serialize(mask=False))

    def _upload(self, request: Request) -> Reply:
        if self.behaviour.upload is not None:
            return self.behaviour.upload
        form = request.form
        name, data = form["image"]
        assert name
        kind = form["type"][1].decode() if "type" in form else "input"
        subfolder = form["subfolder"][1].decode() if "subfolder" in form else ""
        overwrite = "overwrite" in form and form["overwrite"][1] in (b"true", b"1")
        stem, _, end = name.rpartition(".")
        i = 1
        while not overwrite and self.files.get((kind, subfolder, name), data) != data:
            name = f"{stem} ({i}).{end}"
            i += 1
        self.files[kind, subfolder, name] = data
        return json_reply({"name": name, "subfolder": subfolder, "type": kind})

    def _post_prompt(self, request: Request) -> Reply:
        if self.behaviour.prompt is not None:
            return self.behaviour.prompt
        said = request.json
        graph = said["prompt"]
        error, node_errors = self._validate(graph)
        if error is not None:
            return json_reply({"error": error, "node_errors": node_errors}, 400)
        prompt_id = str(uuid.uuid4())
        if not self.behaviour.old_server and said.get("prompt_id") is not None:
            prompt_id = str(uuid.UUID(said["prompt_id"]))
        outputs = [i for i, node in graph.items() if node["class_type"] in OUTPUT_NODES]
        with self.more:
            number = len(self.history) + len(self.pending)
            self.pending.append(Prompt(number, prompt_id, graph, said.get("client_id"), outputs))
            self.more.notify_all()
        return json_reply({"prompt_id": prompt_id, "number": number, "node_errors": node_errors})

    def _validate(self, graph: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        for i, node in graph.items():
            class_type = node["class_type"]
            if class_type not in self._nodes():
                title = node.get("_meta", {}).get("title", class_type)
                error = {
                    "type": "missing_node_type",
                    "message": f"Node '{title}' not found. The custom node may not be installed.",
                    "details": f"Node ID '#{i}'",
                    "extra_info": {"node_id": i, "class_type": class_type, "node_title": title},
                }
                return error, {}
        outputs = [i for i, node in graph.items() if node["class_type"] in OUTPUT_NODES]
        if not outputs:
            error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""}
            return {**error, "extra_info": {}}, {}
        found = {i: self._node_errors(node) for i, node in graph.items()}
        node_errors = {
            i: {"errors": e, "dependent_outputs": outputs, "class_type": graph[i]["class_type"]}
            for i, e in found.items()
            if e
        }
        if not node_errors:
            return None, {}
        lines = [f"{e['message']}: {e['details']}" for errors in found.values() for e in errors]
        error = {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "\n".join(lines),
            "extra_info": {},
        }
        return error, node_errors

    def _node_errors(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        errors: list[dict[str, Any]] = []
        class_type = node["class_type"]
        for name, spec in INPUTS[class_type].items():
            if name not in node["inputs"]:
                errors.append(_error("required_input_missing", "Required input is missing", name))
                continue
            value, kind = node["inputs"][name], spec[0]
            if isinstance(value, list):
                continue
            try:
                if kind in ("INT", "FLOAT"):
                    value = int(value) if kind == "INT" else float(value)
                    node["inputs"][name] = value
            except ValueError as error:
                message = f"Failed to convert an input value to a {kind} value"
                details = f"{name}, {value}, {error}"
                errors.append(_error("invalid_input_type", message, name, details=details))
                continue
            limits = spec[1] if len(spec) > 1 else {}
            if "max" in limits and value > limits["max"]:
                message = f"Value {value} bigger than max of {limits['max']}"
                errors.append(_error("value_bigger_than_max", message, name))
            if class_type in VALIDATED_BY_THEMSELVES and name == "image":
                if self._file(value) is None:
                    message = "Custom validation failed for node"
                    details = f"image - Invalid image file: {value}"
                    errors.append(
                        _error("custom_validation_failed", message, name, details=details)
                    )
            elif isinstance(kind, list) and value not in kind:
                details = f"{name}: {value!r} not in {kind}"
                error = _error("value_not_in_list", "Value not in list", name, details=details)
                error["extra_info"]["input_config"] = [kind, {}]
                error["extra_info"]["received_value"] = value
                errors.append(error)
        return errors

    def _history(self, request: Request) -> Reply:
        if self.behaviour.history is not None:
            return self.behaviour.history
        prompt_id = request.path.rpartition("/")[2]
        with self.lock:
            entry = self.history.get(prompt_id)
        return json_reply({} if entry is None else {prompt_id: entry})

    def _get_queue(self, request: Request) -> Reply:
        with self.lock:
            running = [self.current.item] if self.current else []
            pending = [prompt.item for prompt in self.pending]
        return json_reply({"queue_running": running, "queue_pending": pending})

    def _post_queue(self, request: Request) -> Reply:
        with self.lock:
            for prompt_id in request.json.get("delete", []):
                self.pending = [prompt for prompt in self.pending if prompt.id != prompt_id]
        return Reply(kind="text/plain")

    def _interrupt(self, request: Request) -> Reply:
        wanted = (json.loads(request.body) if request.body else {}).get("prompt_id")
        self.interrupts.append(wanted)
        with self.lock:
            ours = self.current is not None and self.current.id == wanted
            if self.behaviour.old_server or wanted is None or ours:
                self.interrupt.set()
        return Reply(kind="text/plain")

    def _view(self, request: Request) -> Reply:
        query = request.query
        kind, subfolder = query.get("type", "output"), query.get("subfolder", "")
        data = self.files.get((kind, subfolder, query["filename"]))
        if data is None:
            return Reply(status=404, kind="text/plain")
        if self.behaviour.view is not None:
            return self.behaviour.view(data)
        return Reply(body=data, kind="image/png")

    def _nodes(self) -> dict[str, Any]:
        return {k: v for k, v in INPUTS.items() if k not in self.behaviour.without_nodes}

    def _object_info(self, request: Request) -> Reply:
        wanted = request.path.rpartition("/")[2]
        info = {
            name: {"input": {"required": {k: list(v) for k, v in inputs.items()}}, "name": name}
            for name, inputs in self._nodes().items()
            if wanted in (name, "object_info")
        }
        return json_reply(info)

    def _queue_info(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": len(self.pending) + bool(self.current)}}

    # execution.py and the worker of main.py

    def _work(self) -> None:
        while True:
            with self.more:
                while not self.pending and not self.closing:
                    self.more.wait()
                if self.closing:
                    return
                prompt = self.current = self.pending.pop(0)
                self.interrupt.clear()
            self._execute(prompt)

    def _execute(self, prompt: Prompt) -> None:
        messages: list[Any] = []

        def note(kind: str, **data: Any) -> None:
            data = {**data, "prompt_id": prompt.id, "timestamp": int(time.time() * 1000)}
            messages.append([kind, data])
            self._send(kind, data, prompt.client_id)

        note("execution_start")
        note("execution_cached", nodes=[])
        outputs: dict[str, Any] = {}
        values: dict[str, Any] = {}
        node_id = ""
        try:
            for node_id in _order(prompt.graph):
                where = {"node": node_id, "display_node": node_id, "prompt_id": prompt.id}
                self._send("executing", where, prompt.client_id)
                node = prompt.graph[node_id]
                given = {
                    k: values[v[0]][v[1]] if isinstance(v, list) else v
                    for k, v in node["inputs"].items()
                }
                values[node_id], shown = self._run_node(prompt, node_id, node["class_type"], given)
                if shown is not None:
                    outputs[node_id] = shown
                    self._send("executed", {**where, "output": shown}, prompt.client_id)
            note("execution_success")
            status = "success"
        except Interrupted:
            kind = prompt.graph[node_id]["class_type"]
            note("execution_interrupted", node_id=node_id, node_type=kind, executed=[])
            status = "error"
        except Exception as error:
            note(
                "execution_error",
                node_id=node_id,
                node_type=prompt.graph[node_id]["class_type"],
                executed=[],
                exception_message=f"{error}\n",
                exception_type=type(error).__name__,
                traceback=[],
            )
            status = "error"
        with self.lock:
            self.history[prompt.id] = {
                "prompt": prompt.item,
                "outputs": outputs,
                "status": {
                    "status_str": status,
                    "completed": status == "success",
                    "messages": messages,
                },
                "meta": {},
            }
            self.current = None
        self._send("executing", {"node": None, "prompt_id": prompt.id}, prompt.client_id)

    def _run_node(
        self, prompt: Prompt, node_id: str, kind: str, given: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any] | None]:
        if kind == "CheckpointLoaderSimple":
            return [given["ckpt_name"], "clip", "vae"], None
        if kind == "CLIPTextEncode":
            return [given["text"]], None
        if kind == "LoadImage":
            image = opened(self._file(given["image"]) or b"")
            hole = np.zeros((image.height, image.width), np.float32)
            if "A" in image.getbands():
                hole = 1 - np.asarray(image.getchannel("A"), np.float32) / 255
            return [np.asarray(image.convert("RGB")), hole], None
        if kind == "LoadImageMask":
            image = opened(self._file(given["image"]) or b"").convert("RGBA")
            values = np.asarray(image.getchannel(given["channel"][0].upper()), np.float32) / 255
            return [1 - values if given["channel"] == "alpha" else values], None
        if kind == "InpaintModelConditioning":
            pixels, mask = given["pixels"], given["mask"]
            h, w = pixels.shape[0] // 8 * 8, pixels.shape[1] // 8 * 8
            latent = {"pixels": pixels[:h, :w], "noise_mask": mask[:h, :w]}
            return [given["positive"], given["negative"], latent], None
        if kind == "KSampler":
            return [self._sample(prompt, node_id, given)], None
        if kind == "VAEDecode":
            pixels = given["samples"]["pixels"]
            if self.behaviour.vae_noise:
                noise = np.random.default_rng(1).normal(0, self.behaviour.vae_noise, pixels.shape)
                pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
            return [pixels], None
        if kind == "ImageScaleBy":
            image = opened(png(given["image"]))
            size = tuple(round(side * given["scale_by"]) for side in image.size)
            return [np.asarray(image.resize(size))], None
        folder = "temp" if kind == "PreviewImage" else "output"
        name = f"{given.get('filename_prefix', 'ComfyUI_temp')}_{len(self.files):05}_.png"
        self.files[folder, "", name] = png(given["images"])
        return [], {"images": [{"filename": name, "subfolder": "", "type": folder}]}

    def _sample(self, prompt: Prompt, node_id: str, given: dict[str, Any]) -> dict[str, Any]:
        for step in range(1, given["steps"] + 1):
            if self.interrupt.wait(self.behaviour.step_s) or self.interrupt.is_set():
                raise Interrupted
            if self.behaviour.fail_with is not None:
                raise RuntimeError(self.behaviour.fail_with)
            data = {"value": step, "max": given["steps"], "prompt_id": prompt.id, "node": node_id}
            self._send("progress", data, prompt.client_id)
            request = self.sockets.get(prompt.client_id or "")
            if request is not None and step == 1:
                preview = (1).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"a preview"
                self._frame(request, Opcode.BINARY, preview)
        latent = given["latent_image"]
        mask = latent["noise_mask"] > 0.5
        out = repainted(latent["pixels"], mask, given["seed"] % 2**32, given["denoise"])
        return {**latent, "pixels": out}

    def _file(self, name: str) -> bytes | None:
        kind = "input"
        for each in ("input", "output", "temp"):
            if name.endswith(f" [{each}]"):
                kind, name = each, name[: -len(each) - 3]
        subfolder, _, base = name.rpartition("/")
        return self.files.get((kind, subfolder, base))


def _error(kind: str, message: str, name: str, *, details: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "message": message,
        "details": details or name,
        "extra_info": {"input_name": name},
    }


def _order(graph: dict[str, Any]) -> list[str]:
    """Node ids so that each comes after those it is linked to."""
    done: list[str] = []

    def visit(node_id: str) -> None:
        for value in graph[node_id]["inputs"].values():
            if isinstance(value, list):
                visit(value[0])
        if node_id not in done:
            done.append(node_id)

    for node_id, node in graph.items():
        if node["class_type"] in OUTPUT_NODES:
            visit(node_id)
    return done
