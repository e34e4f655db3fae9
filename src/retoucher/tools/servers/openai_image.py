"""Any service with OpenAI's `/v1/images/edits` as a tool: crop, mask and words, a picture back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.errors import ConfigError, ToolError
from retoucher.tools.servers.address import (
    checked_url,
    is_loopback,
    missing,
    same_origin,
    secret,
)
from retoucher.tools.servers.asked import wording
from retoucher.tools.servers.pictures import (
    Canvas,
    decoded,
    from_base64,
    png_of,
    png_with_hole,
)
from retoucher.tools.servers.running import run

if TYPE_CHECKING:
    import openai

    from retoucher.tools.servers.http import Response, Server

VERSION = "1"
OPENAI_URL = "https://api.openai.com/v1"
_MULTIPLE_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIImageSettings:
    """Which model to ask, and where.

    Attributes:
        model: its name at the service.
        base_url: of the service, up to and with /v1.
        api_key_env: environment variable with the key; None: OPENAI_API_KEY for OpenAI itself, and
            no key for any other address.
        size: "match": ask for the size that is sent (sides are multiples of 16 and at most 3:1);
            else the service's own word, such as "auto" or "1024x1024".
        quality, input_fidelity: the service's own words; None: not sent.
        response_format: "b64_json" for services that else return links; None: not sent.
        licence: of the model, for `preference.licences`; None: proprietary at OpenAI, else unknown.
        send_mask: False for services that take none; the words then have to do.
        min_side_px, max_side_px: sizes of the crop that is sent.
        retries: further tries where the service is overloaded or limits the rate.
        cost_usd: what one picture costs you, about, by your price list; planning uses it.
        timeout_s: for one edit, further tries included.

    Raises:
        ConfigError: a value is out of range.
    """

    model: str = "gpt-image-2"
    base_url: str = OPENAI_URL
    api_key_env: str | None = None
    size: str = "match"
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    input_fidelity: Literal["low", "high"] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    licence: str | None = None
    send_mask: bool = True
    min_side_px: int = 1024
    max_side_px: int = 2048
    retries: int = 2
    cost_usd: float = 0.1
    timeout_s: float = 240.0

    def __post_init__(self) -> None:
        checked_url(self.base_url, "base_url")
        if not self.model.strip():
            raise ConfigError("model must be a model's name")
        if not _MULTIPLE_PX <= self.min_side_px <= self.max_side_px <= 3840:
            raise ConfigError(f"sizes need {_MULTIPLE_PX} <= min_side_px <= max_side_px <= 3840")
        if not 0 <= self.retries <= 10:
            raise ConfigError(f"retries must lie between 0 and 10, got {self.retries}")
        if self.cost_usd < 0 or not self.timeout_s > 0:
            raise ConfigError("cost_usd must not be negative, timeout_s must be positive")

    @property
    def is_openai(self) -> bool:
        """Whether the service is OpenAI's own."""
        return self.base_url.rstrip("/") == OPENAI_URL


class _Image(BaseModel):
    b64_json: str | None = None
    url: str | None = None


class _Reply(BaseModel):
    data: list[_Image] | None = None


class OpenAIImageTool:
    """Edits by an OpenAI-compatible image-edit endpoint.

    The mask guides the model and does not bind it: anything in the crop may change, so the result
    is registered to the crop.
    """

    settings_type = OpenAIImageSettings

    def __init__(self, settings: OpenAIImageSettings | None = None) -> None:
        self.settings = settings or OpenAIImageSettings()

    @property
    def spec(self) -> ToolSpec:
        settings = self.settings
        return ToolSpec(
            name="openai-image",
            version=f"{VERSION} {settings.model}",
            kind="instruction",
            summary="edits by instruction with an OpenAI-compatible image model",
            priority=40,
            size=SizeNeeds(
                min_side_px=settings.min_side_px,
                max_side_px=settings.max_side_px,
                multiple=_MULTIPLE_PX,
            ),
            context_factor=2.0,
            uses_prompt=True,
            network=not is_loopback(settings.base_url),
            licence=settings.licence or ("proprietary" if settings.is_openai else "unknown"),
            extra="api",
            cost_usd=0.0 if is_loopback(settings.base_url) else settings.cost_usd,
            opt_in=True,
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Edit the crop; see `Tool.edit`. These services take no seed."""
        settings = self.settings
        canvas = Canvas.of(request, multiple=_MULTIPLE_PX)
        reply = run(
            lambda: self._ask(canvas, self._words(canvas, request.instruction)),
            cancelled=request.cancelled,
            timeout_s=settings.timeout_s,
            doing=lambda: f"waiting for {settings.model}",
        )
        return canvas.taken_back(reply, moved=True)

    def _words(self, canvas: Canvas, instruction: str) -> str:
        if self.settings.send_mask:
            return instruction or "Repair what is damaged in the marked place."
        return wording(instruction, canvas.mask_hw)

    async def _ask(self, canvas: Canvas, instruction: str) -> RgbArray:
        try:
            import openai

            from retoucher.tools.servers.http import Server, open_client, words
        except ImportError as error:
            raise missing(error, "openai-image", "api") from error
        settings = self.settings
        url = settings.base_url.rstrip("/")
        named = settings.api_key_env or ("OPENAI_API_KEY" if settings.is_openai else None)
        http = open_client(url, timeout_s=settings.timeout_s)
        try:
            client = openai.AsyncOpenAI(
                api_key=secret(named) or "none",
                base_url=url,
                timeout=settings.timeout_s,
                max_retries=settings.retries,
                http_client=http,
            )
            server = Server(settings.model, url, http)
            response = await self._edit(client, canvas, instruction)
            data = await _data(server.read(_Reply, response, "images/edits"), server)
        except openai.APIStatusError as error:
            message = _complaint(settings, named, error.status_code, error.code)
            raise ToolError(f"{message}: {words(error.message)}") from error
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, ToolError):
                raise error.__cause__ from error
            raise ToolError(f"no answer from {url}: {words(error.__cause__ or error)}") from error
        except (openai.OpenAIError, ValueError) as error:
            raise ToolError(f"{settings.model} sent no readable reply: {words(error)}") from error
        finally:
            await http.aclose()
        return decoded(data, settings.model)

    async def _edit(self, client: openai.AsyncOpenAI, canvas: Canvas, instruction: str) -> Response:
        from openai import omit

        settings = self.settings
        hole = png_with_hole(canvas.image_rgb, canvas.mask_hw)
        size = f"{canvas.width}x{canvas.height}" if settings.size == "match" else settings.size
        raw = await client.images.with_raw_response.edit(
            model=settings.model,
            image=("crop.png", png_of(canvas.image_rgb), "image/png"),
            mask=("mask.png", hole, "image/png") if settings.send_mask else omit,
            prompt=instruction,
            n=1,
            size=size,
            quality=omit if settings.quality is None else settings.quality,
            input_fidelity=omit if settings.input_fidelity is None else settings.input_fidelity,
            response_format=omit if settings.response_format is None else settings.response_format,
        )
        return raw.http_response


async def _data(reply: _Reply, server: Server) -> bytes:
    """The picture's file. A link is followed only to the server that was asked.

    Raises:
        ToolError: there is no picture, or only a link to somewhere else.
    """
    first = reply.data[0] if reply.data else _Image()
    if first.b64_json:
        return from_base64(first.b64_json, server.name)
    if not first.url:
        raise ToolError(f"{server.name} returned no picture")
    if not same_origin(first.url, server.url):
        raise ToolError(
            f"{server.name} returned a link to another server, which is not followed;"
            " set response_format to b64_json"
        )
    return await server.fetch(first.url)


def _complaint(
    settings: OpenAIImageSettings, key_name: str | None, status: int, code: str | None
) -> str:
    if code in ("moderation_blocked", "content_policy_violation"):
        return f"{settings.model} refused the request"
    if status in (401, 403):
        where = f"the key in {key_name}" if key_name else "no key was sent (api_key_env), which"
        return f"{where} was not accepted"
    if status == 404:
        return f"there is no model {settings.model!r} or no image editing at {settings.base_url}"
    if status == 429:
        return f"{settings.model}: too many requests, or the quota is used up"
    return f"{settings.model} answered with {status}"
