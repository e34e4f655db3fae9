"""Google's Gemini image models as a tool: crop and instruction go out, a picture comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.errors import ConfigError, ToolError
from retoucher.tools.servers.address import checked_url, is_loopback, missing, secret
from retoucher.tools.servers.asked import wording
from retoucher.tools.servers.pictures import Canvas, decoded, png_of
from retoucher.tools.servers.running import run

if TYPE_CHECKING:
    from google.genai import types

VERSION = "1"
ASPECTS = {
    "1:1": 1.0,
    "2:3": 2 / 3,
    "3:2": 3 / 2,
    "3:4": 3 / 4,
    "4:3": 4 / 3,
    "9:16": 9 / 16,
    "16:9": 16 / 9,
    "21:9": 21 / 9,
}
"""Aspects (width over height) that the models make; crops are framed to one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiImageSettings:
    """Which model to ask, and where.

    Attributes:
        model: its name in the API. `gemini-2.5-flash-image` is being retired.
        api_key_env: environment variable with the key.
        base_url: of the API.
        image_size: "1K", "2K" or "4K", where the model has a choice; None: its default.
        min_side_px, max_side_px: sizes of the crop that is sent.
        attempts: tries in all where the service is overloaded or limits the rate.
        cost_usd: what one picture costs you, about, by your price list; planning uses it.
        timeout_s: for one edit, further tries included.

    Raises:
        ConfigError: a value is out of range.
    """

    model: str = "gemini-3.1-flash-image"
    api_key_env: str = "GEMINI_API_KEY"
    base_url: str = "https://generativelanguage.googleapis.com"
    image_size: Literal["1K", "2K", "4K"] | None = None
    min_side_px: int = 512
    max_side_px: int = 1536
    attempts: int = 3
    cost_usd: float = 0.1
    timeout_s: float = 180.0

    def __post_init__(self) -> None:
        checked_url(self.base_url, "base_url")
        if not self.model.strip() or any(c in self.model for c in "?#% \n"):
            raise ConfigError(f"model must be a model's name, got {self.model!r}")
        if not 1 <= self.min_side_px <= self.max_side_px <= 4096:
            raise ConfigError("sizes need 1 <= min_side_px <= max_side_px <= 4096")
        if not 1 <= self.attempts <= 10:
            raise ConfigError(f"attempts must lie between 1 and 10, got {self.attempts}")
        if self.cost_usd < 0 or not self.timeout_s > 0:
            raise ConfigError("cost_usd must not be negative, timeout_s must be positive")


class GeminiImageTool:
    """Edits by instruction with a Gemini image model."""

    settings_type = GeminiImageSettings

    def __init__(self, settings: GeminiImageSettings | None = None) -> None:
        self.settings = settings or GeminiImageSettings()

    @property
    def spec(self) -> ToolSpec:
        settings = self.settings
        return ToolSpec(
            name="gemini-image",
            version=f"{VERSION} {settings.model}",
            kind="instruction",
            summary="edits by instruction with a Gemini image model (needs a key; costs money)",
            priority=40,
            size=SizeNeeds(min_side_px=settings.min_side_px, max_side_px=settings.max_side_px),
            context_factor=2.0,
            uses_prompt=True,
            network=not is_loopback(settings.base_url),
            licence="proprietary",
            extra="api",
            cost_usd=settings.cost_usd,
            opt_in=True,
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Edit the crop; see `Tool.edit`. The service may ignore the seed."""
        settings = self.settings
        canvas = Canvas.of(request, aspects=tuple(ASPECTS.values()))
        reply = run(
            lambda: self._ask(canvas, request.instruction, request.seed),
            cancelled=request.cancelled,
            timeout_s=settings.timeout_s,
            doing=lambda: f"waiting for {settings.model}",
        )
        return canvas.taken_back(reply, moved=True)

    async def _ask(self, canvas: Canvas, instruction: str, seed: int) -> RgbArray:
        try:
            from google import genai
            from google.genai import errors, types

            from retoucher.tools.servers.http import HTTPError, open_client, words
        except ImportError as error:
            raise missing(error, "gemini-image", "api") from error
        settings = self.settings
        key = secret(settings.api_key_env)
        http = open_client(settings.base_url, timeout_s=settings.timeout_s)
        aspect = min(ASPECTS, key=lambda a: abs(ASPECTS[a] - canvas.width / canvas.height))
        options = types.HttpOptions(
            base_url=settings.base_url,
            timeout=round(settings.timeout_s * 1000),
            httpx_async_client=http,
            retry_options=types.HttpRetryOptions(attempts=settings.attempts, max_delay=20.0),
        )
        config = types.GenerateContentConfig(
            response_modalities=["TEXT", "IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=aspect, image_size=settings.image_size),
            seed=seed,
        )
        picture = types.Part.from_bytes(data=png_of(canvas.image_rgb), mime_type="image/png")
        try:
            async with genai.Client(
                api_key=key, vertexai=False, http_options=options
            ).aio as client:
                response = await client.models.generate_content(
                    model=settings.model,
                    contents=cast(Any, [picture, wording(instruction, canvas.mask_hw)]),
                    config=config,
                )
        except errors.APIError as error:
            raise ToolError(_complaint(settings, error.code, words(error.message))) from error
        except HTTPError as error:
            raise ToolError(f"no answer from {settings.base_url}: {words(error)}") from error
        except ValueError as error:
            raise ToolError(f"{settings.model} sent no readable reply: {words(error)}") from error
        finally:
            await http.aclose()
        return picture_in(response, settings.model)


def picture_in(response: types.GenerateContentResponse, model: str) -> RgbArray:
    """The last picture of the reply that is no part of the model's thinking.

    Raises:
        ToolError: there is none; with the refusal's reason, or what the model said instead.
    """
    feedback = response.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        why = f": {feedback.block_reason_message}" if feedback.block_reason_message else ""
        raise ToolError(f"{model} refused the request ({feedback.block_reason.value}){why}")
    found: bytes | None = None
    said: list[str] = []
    reason = ""
    for candidate in response.candidates or ():
        parts: Sequence[types.Part] = (candidate.content.parts if candidate.content else None) or ()
        for part in parts:
            if part.thought:
                continue
            blob = part.inline_data
            if blob is not None and blob.data and (blob.mime_type or "").startswith("image/"):
                found = blob.data
            elif part.text:
                said.append(part.text)
        if candidate.finish_reason is not None and candidate.finish_reason.value != "STOP":
            reason = candidate.finish_reason.value
    if found is not None:
        return decoded(found, model)
    told = " ".join(" ".join(said).split())[:300]
    why = "; ".join(part for part in (reason, told) if part)
    raise ToolError(f"{model} returned no picture: {why or 'and did not say why'}")


def _complaint(settings: GeminiImageSettings, code: int, message: str) -> str:
    if code in (401, 403) or "API key" in message:
        return f"the key in {settings.api_key_env} was not accepted: {message}"
    if code == 404:
        return f"there is no model {settings.model!r} for you; set model ({message})"
    if code == 429:
        return f"{settings.model}: too many requests, or the quota is used up: {message}"
    return f"{settings.model} answered with {code}: {message}"
