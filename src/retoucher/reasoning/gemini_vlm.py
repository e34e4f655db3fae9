"""The reasoner `gemini`: Google's Gemini models by their own client, google-genai."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from retoucher.errors import ConfigError, MissingDependencyError, PluginError, RetoucherError
from retoucher.reasoning.asking import Answer, Finish, one_line
from retoucher.reasoning.conversation import Conversation, Part
from retoucher.reasoning.reply import reply_schema
from retoucher.reasoning.views import png_bytes
from retoucher.reasoning.vlm import RemoteReasoner, RemoteSettings

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.types import Content, GenerateContentConfig, GenerateContentResponse

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("STOP", "FINISH_REASON_UNSPECIFIED"), "stop"),
    "MAX_TOKENS": "length",
    **dict.fromkeys(("OTHER", "MALFORMED_RESPONSE", "MALFORMED_FUNCTION_CALL"), "other"),
}
"""Any other reason is a filter or a policy: the model refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiSettings(RemoteSettings):
    """Which model, and how it is asked; see `RemoteSettings`. Name the model: they retire often.

    Attributes:
        base_url: of another host that speaks the same API; None: Google's.
        api_key_env: None: GEMINI_API_KEY for Google's host, and no key for any other.
        thinking_budget: in tokens; None: the model's own.

    Raises:
        ValueError: on a value out of range or a URL that is none.
    """

    base_url: str | None = None
    thinking_budget: int | None = None
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        if self.base_url is not None:
            url = urlsplit(self.base_url)
            if url.scheme not in ("http", "https") or not url.hostname or url.username:
                raise ValueError(
                    "base_url must be a http or https URL without a user name, got "
                    f"{one_line(self.base_url)!r}"
                )
        RemoteSettings.__post_init__(self)


class GeminiReasoner(RemoteReasoner[GeminiSettings, "Client"]):
    """Diagnoses by a Gemini model."""

    settings_type = GeminiSettings
    name = "gemini"

    def _client(self) -> Client:
        settings = self._settings
        if not settings.model:
            raise ConfigError(
                "the reasoner gemini needs the model's name: set options.reasoner.gemini.model"
            )
        try:
            from google.genai import Client, types
        except ImportError as error:
            raise MissingDependencyError(
                "the reasoner gemini needs the extra api: pip install 'agentic-retoucher[api]'"
            ) from error
        options = types.HttpOptions(
            base_url=settings.base_url,
            timeout=round(settings.timeout_s * 1000),
            retry_options=types.HttpRetryOptions(attempts=settings.retries + 1),
        )
        return Client(api_key=_key(settings) or "none", vertexai=False, http_options=options)

    def _answer(self, client: Client, conversation: Conversation) -> Answer:
        began = self._clock()
        try:
            response = client.models.generate_content(
                model=self._settings.model,
                contents=cast("list[Any]", _contents(conversation)),
                config=_config(self._settings, conversation),
            )
        except Exception as error:  # which errors come through depends on the HTTP library in use
            raise _explained(error, self._settings) from error
        return _answer(response, self._settings, self._clock() - began)


def _config(settings: GeminiSettings, conversation: Conversation) -> GenerateContentConfig:
    from google.genai import types

    budget = settings.thinking_budget
    return types.GenerateContentConfig(
        system_instruction=conversation.system,
        response_mime_type="application/json",
        response_json_schema=reply_schema(instructions=settings.write_instructions),
        temperature=settings.temperature,
        seed=settings.seed,
        max_output_tokens=settings.max_tokens,
        candidate_count=1,
        thinking_config=None
        if budget is None
        else types.ThinkingConfig(thinking_budget=budget, include_thoughts=False),
    )


def _contents(conversation: Conversation) -> list[Content]:
    from google.genai import types

    def part(content: Part) -> types.Part:
        if isinstance(content, str):
            return types.Part.from_text(text=content)
        return types.Part.from_bytes(data=png_bytes(content), mime_type="image/png")

    roles = {"user": "user", "assistant": "model"}
    return [
        types.Content(role=roles[turn.role], parts=[part(p) for p in turn.parts])
        for turn in conversation.turns
    ]


def _answer(
    response: GenerateContentResponse, settings: GeminiSettings, latency_s: float
) -> Answer:
    """The text of all parts that are no thoughts; what blocked the reply, where something did."""
    candidate = (response.candidates or [None])[0]
    parts = (candidate.content.parts if candidate and candidate.content else None) or []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    finish, note = _finish(response)
    usage = response.usage_metadata
    prompt_tokens = usage.prompt_token_count if usage else None
    completion_tokens = None
    if usage and usage.total_token_count is not None:
        completion_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    others = [name for part in parts for name in _unexpected(part)]
    if others:
        note = f"{note} (with parts that were ignored: {', '.join(sorted(set(others)))})".strip()
    return Answer(
        text=text,
        finish=finish,
        note=note or text,
        model=response.model_version or settings.model,
        form="json_schema",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_s=latency_s,
        cost_usd=settings.price(prompt_tokens, completion_tokens),
    )


def _finish(response: GenerateContentResponse) -> tuple[Finish, str]:
    """How the reply ended, and why it was withheld where it was."""
    feedback = response.prompt_feedback
    if feedback and feedback.block_reason:
        words = feedback.block_reason_message or ""
        return "refused", f"the request was blocked: {feedback.block_reason.value} {words}".strip()
    if not response.candidates:
        return "refused", "the reply has no candidate"
    candidate = response.candidates[0]
    reason = candidate.finish_reason.value if candidate.finish_reason else "STOP"
    finish = _FINISH.get(reason, "refused")
    if finish in ("stop", "length"):
        return finish, ""
    return finish, f"the reply ended with {reason} {candidate.finish_message or ''}".strip()


def _unexpected(part: Any) -> Iterator[str]:
    for name in ("inline_data", "file_data", "function_call", "executable_code"):
        if getattr(part, name, None) is not None:
            yield name


def _key(settings: GeminiSettings) -> str | None:
    name = settings.api_key_env
    if name is None:
        if settings.base_url is not None:
            return None
        name = "GEMINI_API_KEY"
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(f"Gemini needs a key: set {name} in the environment")
    return key


def _explained(error: Exception, settings: GeminiSettings) -> RetoucherError:
    """The client's error in one line that says what to do, without the key."""
    from google.genai import errors

    host = settings.base_url or "Gemini"
    said = one_line(str(error)) or type(error).__name__
    name = settings.api_key_env or "GEMINI_API_KEY"
    if key := os.environ.get(name, "").strip():
        said = said.replace(key, "***")
    tries = f"{settings.retries + 1} tries"
    if not isinstance(error, errors.APIError):
        if "Timeout" in type(error).__name__:
            return PluginError(
                f"{host} did not answer within {settings.timeout_s:g} s ({tries}); raise "
                "options.reasoner.gemini.timeout_s"
            )
        return PluginError(f"{host} cannot be reached or understood ({tries}): {said}")
    if error.code in (401, 403) or "API_KEY_INVALID" in str(cast(Any, error).details):
        return ConfigError(f"{host} refused the key in {name}: {said}")
    if error.code == 404:
        return ConfigError(f"{host} does not know the model {settings.model!r}: {said}")
    return PluginError(f"{host} answered with an error: {said}")
