"""The prompt of a generated picture: given, beside the picture, or recovered from its metadata.

Metadata is data from strangers: whatever it holds, nothing here raises on it or runs it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from retoucher.errors import InputError
from retoucher.imaging import comfy, infotext
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.png_text import PARAMETERS

MAX_JSON_CHARS = 20_000_000
MAX_SIDECAR_BYTES = 1_000_000

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPrompt:
    """A prompt and where it was found.

    Attributes:
        prompt: what the picture should show; not empty when recovered from metadata.
        negative: what it should not show, "" when unknown.
        source: "swarmui", "fooocus", "a1111", "comfyui", "comfyui, longest text" (a guess),
            "invokeai", "novelai", "json", "text chunk"; or "given" (by the user), the name of the
            text file, "none".
    """

    prompt: str
    negative: str = ""
    source: str


def prompt_for(
    path: str | os.PathLike[str] | None, metadata: Metadata, explicit: str | None = None
) -> FoundPrompt:
    """The prompt to use: `explicit`, else the text file beside the picture, else the metadata.

    Args:
        path: of the picture; None where it came from memory.
        metadata: of the picture.
        explicit: what the user gave; an empty text is a choice too.

    Raises:
        InputError: the text file beside the picture cannot be read as UTF-8.
    """
    if explicit is not None:
        return FoundPrompt(prompt=explicit.strip(), source="given")
    beside = _sidecar(Path(path)) if path is not None else None
    if beside is not None:
        return beside
    return recover_prompt(metadata) or FoundPrompt(prompt="", source="none")


def _sidecar(picture: Path) -> FoundPrompt | None:
    """STEM.txt: a plain caption, or the parameters that A1111 saves beside its pictures."""
    path = picture.with_suffix(".txt")
    try:
        if not path.is_file() or path == picture:
            return None
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            raise InputError(f"{path}: too long for a prompt; shorten it or give --prompt")
        text = path.read_bytes().decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a prompt in UTF-8 ({error}); mend it or give --prompt"
        ) from error
    if not text:
        return None
    parsed = infotext.parse(text)
    if parsed is not None and (parsed.pairs or parsed.negative):
        return FoundPrompt(prompt=parsed.prompt, negative=parsed.negative, source=path.name)
    return FoundPrompt(prompt=text, source=path.name)


def recover_prompt(metadata: Metadata) -> FoundPrompt | None:
    """The prompt that a generator left in a file, or None. Never raises on odd metadata."""
    for reader in _READERS:
        found = reader(metadata)
        prompt = _clean(found.prompt) if found is not None else ""
        if found is not None and prompt:
            return replace(found, prompt=prompt, negative=_clean(found.negative))
    return None


def _clean(text: str) -> str:
    """Without NULs and lone surrogates, which no later reader can take."""
    text = text.replace("\0", "").replace("\r\n", "\n")
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def load_object(text: str | None) -> JsonObject | None:
    """A JSON object, or None for anything else."""
    if not text or len(text) > MAX_JSON_CHARS or text.lstrip()[:1] != "{":
        return None
    try:
        loaded: object = json.loads(text.strip().rstrip("\0"))
    except (ValueError, RecursionError):
        return None
    return cast("JsonObject", loaded) if isinstance(loaded, dict) else None


def _object(value: object) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A text, or the lines of a list of texts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        items = cast("list[object]", value)
        return "\n".join(item for item in items if isinstance(item, str))
    return ""


def _parameters(metadata: Metadata) -> list[str]:
    """Texts where generators keep their parameters, PNG chunk first, then UserComment."""
    texts = (metadata.get(PARAMETERS), metadata.exif_text(exif_blob.USER_COMMENT))
    return [text for text in texts if text and text.strip()]


def _swarmui(metadata: Metadata) -> FoundPrompt | None:
    for text in _parameters(metadata):
        settings = _object((load_object(text) or {}).get("sui_image_params"))
        if settings:
            return FoundPrompt(
                prompt=_text(settings.get("prompt")),
                negative=_text(settings.get("negativeprompt")),
                source="swarmui",
            )
    return None


def _fooocus(metadata: Metadata) -> FoundPrompt | None:
    scheme = metadata.get("fooocus_scheme") or metadata.exif_text(exif_blob.MAKER_NOTE) or ""
    scheme = scheme.strip("\0 ")
    texts = _parameters(metadata)
    if scheme == "a1111":
        parsed = next((p for p in map(infotext.parse, texts) if p is not None), None)
        if parsed is not None:
            return FoundPrompt(prompt=parsed.prompt, negative=parsed.negative, source="fooocus")
    for text in (*texts, metadata.get("Comment")):
        data = load_object(text)
        if data is None or not (scheme == "fooocus" or _looks_like_fooocus(data)):
            continue
        lower = {key.lower().replace(" ", "_"): value for key, value in data.items()}
        return FoundPrompt(
            prompt=_text(lower.get("prompt")) or _text(lower.get("full_prompt")),
            negative=_text(lower.get("negative_prompt")),
            source="fooocus",
        )
    return None


def _looks_like_fooocus(data: JsonObject) -> bool:
    version = data.get("version") or data.get("Version")
    named = isinstance(version, str) and "fooocus" in version.lower()
    return named or data.get("metadata_scheme") == "fooocus"


def _a1111(metadata: Metadata) -> FoundPrompt | None:
    chunk = metadata.get(PARAMETERS)
    for text in _parameters(metadata):
        parsed = infotext.parse(text)
        if parsed is None:
            continue
        # Cameras write comments too: in EXIF the text must look like parameters.
        if text is chunk or parsed.pairs or parsed.negative:
            return FoundPrompt(prompt=parsed.prompt, negative=parsed.negative, source="a1111")
    return None


def _others(metadata: Metadata) -> FoundPrompt | None:
    """Other programs: JSON with a `prompt` where parameters are kept, or a chunk `prompt`."""
    for text in (*_parameters(metadata), metadata.get("generation_data")):
        data = load_object(text)
        if data is not None and isinstance(data.get("prompt"), str):
            negative = data.get("negative_prompt") or data.get("negativePrompt")
            return FoundPrompt(
                prompt=_text(data["prompt"]), negative=_text(negative), source="json"
            )
    words = metadata.get("prompt") or ""
    if words.lstrip()[:1] in ("{", "["):
        return None
    return FoundPrompt(
        prompt=words, negative=metadata.get("negative_prompt") or "", source="text chunk"
    )


def _comfyui(metadata: Metadata) -> FoundPrompt | None:
    for text in _comfy_texts(metadata):
        graph = load_object(text)
        found = comfy.prompt_of(graph) if graph is not None else None
        if found is not None:
            source = "comfyui" if found.certain else "comfyui, longest text"
            return FoundPrompt(prompt=found.positive, negative=found.negative, source=source)
    return None


def _comfy_texts(metadata: Metadata) -> list[str]:
    """The API graph: PNG text, or `prompt:{json}` in the camera's fields of EXIF."""
    texts: list[str] = []
    chunk = metadata.get("prompt")
    if chunk:
        texts.append(chunk)
    homes = (
        exif_blob.MODEL,
        exif_blob.MAKE,
        exif_blob.IMAGE_DESCRIPTION,
        exif_blob.USER_COMMENT,
    )
    for tag in homes:
        value = (metadata.exif_text(tag) or "").lstrip()
        if value[:7].lower() == "prompt:":
            texts.append(value[7:])
        elif tag == exif_blob.USER_COMMENT and value.startswith("{"):
            texts.append(value)
    return texts


def _invokeai(metadata: Metadata) -> FoundPrompt | None:
    data = load_object(metadata.get("invokeai_metadata"))
    if data is not None:
        return FoundPrompt(
            prompt=_text(data.get("positive_prompt")),
            negative=_text(data.get("negative_prompt")),
            source="invokeai",
        )
    data = load_object(metadata.get("sd-metadata"))
    if data is not None:
        prompt = _object(data.get("image")).get("prompt", data.get("prompt"))
        if isinstance(prompt, list):
            parts = cast("list[object]", prompt)
            prompt = "\n".join(_text(_object(part).get("prompt", part)) for part in parts)
        return _bracketed(_text(prompt))
    command = metadata.get("Dream")
    if command is None:
        return None
    quoted = re.match(r'\s*"((?:[^"\\]|\\.)*)"', command)
    words = quoted.group(1).replace('\\"', '"') if quoted else re.split(r"\s-[A-Za-z]", command)[0]
    return _bracketed(words)


def _bracketed(text: str) -> FoundPrompt:
    """InvokeAI's older syntax: what is not wanted stands in [brackets]."""
    negative = ", ".join(re.findall(r"\[([^\[\]]*)\]", text))
    prompt = re.sub(r"\s*\[[^\[\]]*\]", "", text)
    return FoundPrompt(prompt=prompt, negative=negative, source="invokeai")


def _novelai(metadata: Metadata) -> FoundPrompt | None:
    outer = load_object(metadata.exif_text(exif_blob.USER_COMMENT)) or {}
    software = metadata.get("Software") or _text(outer.get("Software"))
    data = load_object(metadata.get("Comment") or _text(outer.get("Comment"))) or {}
    described = metadata.get("Description") or _text(outer.get("Description"))
    is_theirs = software.strip("\0 ").startswith("NovelAI")
    if not is_theirs and not ("uc" in data and "prompt" in data):
        return None
    prompt = _captions(data.get("v4_prompt")) or _text(data.get("prompt")) or described
    negative = _captions(data.get("v4_negative_prompt")) or _text(data.get("uc"))
    return FoundPrompt(prompt=prompt, negative=negative, source="novelai")


def _captions(value: object) -> str:
    """NovelAI 4: the base caption, then one line for each character."""
    caption = _object(_object(value).get("caption"))
    lines = [_text(caption.get("base_caption"))]
    characters = caption.get("char_captions")
    if isinstance(characters, list):
        items = cast("list[object]", characters)
        lines += [_text(_object(item).get("char_caption")) for item in items]
    return "\n".join(line.strip() for line in lines if line.strip())


_READERS: tuple[Callable[[Metadata], FoundPrompt | None], ...] = (
    _swarmui,
    _fooocus,
    _a1111,
    _comfyui,
    _invokeai,
    _novelai,
    _others,
)
