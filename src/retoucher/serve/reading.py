"""From a request's body, multipart or JSON, to a picture's bytes and checked options."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import Any, TypeVar, cast

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from retoucher.serve.schemas import FindBody, FindOptions, FixBody, FixOptions
from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import Kind, Work

Model = TypeVar("Model", bound=BaseModel)

MULTIPART, JSON = "multipart/form-data", "application/json"
_FIELDS = ("image", "prompt", "options")


async def read_work(request: Request, kind: Kind, settings: ServiceSettings) -> Work:
    """The job that a request asks for.

    Raises:
        HTTPException: 400, 408, 413, 415 or 422, with words a client's author understands.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(settings.read_timeout_s):
            if media_type == MULTIPART:
                return await _from_form(request, kind, settings)
            if media_type == JSON:
                return _from_json(await request.body(), kind, settings)
    except TimeoutError:
        raise HTTPException(408, "the body did not arrive in time") from None
    raise HTTPException(415, f"send {MULTIPART} or {JSON}")


def _from_json(body: bytes, kind: Kind, settings: ServiceSettings) -> Work:
    asked = _checked(FindBody if kind == "find" else FixBody, body)
    return asked.work(kind, _image_of(asked.image, settings))


async def _from_form(request: Request, kind: Kind, settings: ServiceSettings) -> Work:
    # Starlette answers a broken form with 400 by itself.
    async with request.form(max_files=1, max_fields=2, max_part_size=2**20) as form:
        unknown = sorted(set(form) - set(_FIELDS))
        if unknown:
            raise HTTPException(422, f"unknown field {unknown[0][:80]!r}; known: {_FIELDS}")
        upload = form.get("image")
        if not isinstance(upload, UploadFile):
            raise HTTPException(422, "the field `image` must hold the picture's file")
        image = await upload.read()
        options = _checked(FindOptions if kind == "find" else FixOptions, _options_of(form))
    _check_size(image, settings)
    if (prompt := form.get("prompt")) is not None:
        if not isinstance(prompt, str) or len(prompt) > 20_000:
            raise HTTPException(422, "the field `prompt` must be a text of at most 20,000 letters")
        options = options.model_copy(update={"prompt": prompt})
    return options.work(kind, image)


def _options_of(form: FormData) -> bytes:
    options = form.get("options", "{}")
    if not isinstance(options, str):
        raise HTTPException(422, "the field `options` must hold a JSON object, not a file")
    return options.encode("utf-8", "surrogatepass")


def _checked(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, words_of(cast("list[Any]", error.errors()))) from None


def words_of(errors: list[Any]) -> str:
    """The first of pydantic's errors, in one line."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"])[:200]
    return f"{place or 'body'}: {first['msg']}"


def _image_of(data_url: str, settings: ServiceSettings) -> bytes:
    text = re.sub(r"^data:image/[A-Za-z0-9.+-]+;base64,", "", data_url, count=1)
    try:
        image = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise HTTPException(422, "image: is not valid base64") from None
    _check_size(image, settings)
    return image


def _check_size(image: bytes, settings: ServiceSettings) -> None:
    if not image:
        raise HTTPException(422, "image: the file is empty")
    if len(image) > settings.max_image_bytes:
        raise HTTPException(
            413, f"the picture has {len(image)} bytes, at most {settings.max_image_bytes} are taken"
        )
