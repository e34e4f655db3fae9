"""The reasoner `openai`: any server with OpenAI's chat API (vLLM, Ollama, LM Studio, OpenAI)."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit, urlunsplit

from retoucher.domain.diagnosis import Json
from retoucher.errors import ConfigError, MissingDependencyError, PluginError, RetoucherError
from retoucher.reasoning.asking import Answer, Finish, one_line
from retoucher.reasoning.conversation import Conversation, Part
from retoucher.reasoning.reply import SCHEMA_NAME, reply_schema
from retoucher.reasoning.views import png_bytes
from retoucher.reasoning.vlm import RemoteReasoner, RemoteSettings

if TYPE_CHECKING:
    from openai import OpenAI

Form: TypeAlias = Literal["structured_outputs", "json_schema", "json_object", "text"]
"""How a reply's form is asked for: vLLM's own field, the API's two JSON modes, words alone."""

_OPENAI_HOST = "api.openai.com"
_FINISH: dict[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISettings(RemoteSettings):
    """Which server and model, and how it is asked; see `RemoteSettings`.

    Attributes:
        base_url: of the API, with its "/v1".
        api_key_env: None: OPENAI_API_KEY for OpenAI's own host, and no key for any other, so that
            a key never goes to a server it is not meant for.
        response_format: how the form of the reply is asked for. "auto": JSON schema, then JSON
            mode, then words alone, as far as the server refuses.
        structured_outputs: begin with vLLM's own field of that name.
        token_limit_field: name of the limit `max_tokens`. "auto": "max_completion_tokens" for
            OpenAI's own host, else "max_tokens".
        reasoning_effort: sent where given ("low", "medium", ...).

    Raises:
        ValueError: on a value out of range or a URL that is none.
    """

    base_url: str = "http://127.0.0.1:8000/v1"
    response_format: Literal["auto", "json_schema", "json_object", "text"] = "auto"
    structured_outputs: bool = False
    token_limit_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    reasoning_effort: str | None = None

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"base_url must be a http or https URL, got {self.base_url!r}")
        RemoteSettings.__post_init__(self)

    @property
    def forms(self) -> tuple[Form, ...]:
        """Forms to ask for, the strictest first."""
        begin: tuple[Form, ...] = ("structured_outputs",) if self.structured_outputs else ()
        if self.response_format == "auto":
            return (*begin, "json_schema", "json_object", "text")
        return (*begin, self.response_format)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


class OpenAIReasoner(RemoteReasoner[OpenAISettings, "OpenAI"]):
    """Diagnoses by a vision-language model behind an OpenAI-compatible server."""

    settings_type = OpenAISettings
    name = "openai"

    _refused_forms = 0
    """So many of the strictest forms this server does not know."""

    def _told(self) -> dict[str, Json]:
        return {"base_url": _without_credentials(self._settings.base_url)}

    def _client(self) -> OpenAI:
        if not self._settings.model:
            raise ConfigError(
                "the reasoner openai needs the model's name: set options.reasoner.openai.model"
            )
        try:
            from openai import OpenAI
        except ImportError as error:
            raise MissingDependencyError(
                "the reasoner openai needs the extra api: pip install 'agentic-retoucher[api]'"
            ) from error
        return OpenAI(
            base_url=self._settings.base_url,
            api_key=_key(self._settings) or "none",
            max_retries=self._settings.retries,
            timeout=self._settings.timeout_s,
        )

    def _answer(self, client: OpenAI, conversation: Conversation) -> Answer:
        """The answer in the strictest form that the server accepts."""
        from openai import BadRequestError, OpenAIError, UnprocessableEntityError

        forms = self._settings.forms
        began = self._clock()
        for index in range(min(self._refused_forms, len(forms) - 1), len(forms)):
            request = _request(self._settings, conversation, forms[index])
            try:
                reply = cast(Any, client.chat.completions).with_raw_response.create(**request)
                body = str(reply.text)
            except (BadRequestError, UnprocessableEntityError) as error:
                if index + 1 < len(forms):
                    continue
                raise _explained(error, self._settings) from error
            except OpenAIError as error:
                raise _explained(error, self._settings) from error
            self._refused_forms = max(self._refused_forms, index)
            return _answer(body, forms[index], self._settings, self._clock() - began)
        raise AssertionError("no form was tried")


def _request(settings: OpenAISettings, conversation: Conversation, form: Form) -> dict[str, Any]:
    """Arguments of the client's `create`."""
    limit = settings.token_limit_field
    if limit == "auto":
        limit = "max_completion_tokens" if settings.host == _OPENAI_HOST else "max_tokens"
    request: dict[str, Any] = {
        "model": settings.model,
        "messages": _messages(conversation),
        limit: settings.max_tokens,
    }
    for name in ("temperature", "seed", "reasoning_effort"):
        if (value := getattr(settings, name)) is not None:
            request[name] = value
    asked = reply_schema(instructions=settings.write_instructions)
    if form == "structured_outputs":
        request["extra_body"] = {"structured_outputs": {"json": asked}}
    elif form == "json_schema":
        schema = {"name": SCHEMA_NAME, "strict": True, "schema": asked}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form == "json_object":
        request["response_format"] = {"type": "json_object"}
    return request


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The API's messages; pictures as data URLs of lossless PNG files."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": conversation.system}]
    for turn in conversation.turns:
        if turn.role == "assistant":
            words = "\n".join(part for part in turn.parts if isinstance(part, str))
            messages.append({"role": "assistant", "content": words})
        else:
            messages.append({"role": "user", "content": [_part(part) for part in turn.parts]})
    return messages


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(png_bytes(part)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _answer(body: str, form: Form, settings: OpenAISettings, latency_s: float) -> Answer:
    """What the server's JSON says, whatever it leaves out; servers differ in the details.

    Raises:
        PluginError: it is no chat completion.
    """
    try:
        reply = json.loads(body)
        choice = reply["choices"][0]
        message = choice["message"]
        content, refusal = _words(message.get("content")), message.get("refusal")
        reason = str(choice.get("finish_reason") or "stop")
        usage = cast("dict[str, Any]", reply.get("usage") or {})
        counts = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise PluginError(
            f"the server at {_without_credentials(settings.base_url)} answered with something "
            f"that is no chat completion: {one_line(body)}"
        ) from error
    refused = bool(refusal) and not content
    thinking = message.get("reasoning_content") or message.get("reasoning")
    reported = usage.get("cost")
    known = isinstance(reported, int | float)
    cost = float(reported) if known else settings.price(*counts)
    return Answer(
        text=content,
        finish="refused" if refused else _FINISH.get(reason, "other"),
        note=str(refusal or thinking or ""),
        model=str(reply.get("model") or settings.model),
        form=form,
        prompt_tokens=counts[0],
        completion_tokens=counts[1],
        latency_s=latency_s,
        cost_usd=cost,
    )


def _words(content: Any) -> str:
    """A message's content: a string, nothing, or a list of parts."""
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        texts = [cast("dict[str, Any]", p).get("text") for p in parts if isinstance(p, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) else None


def _key(settings: OpenAISettings) -> str | None:
    name = settings.api_key_env
    if name is None:
        if settings.host != _OPENAI_HOST:
            return None
        name = "OPENAI_API_KEY"
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(f"the server {settings.host} needs a key: set {name} in the environment")
    return key


def _explained(error: Exception, settings: OpenAISettings) -> RetoucherError:
    """The client's error in one line that says what to do, without the key."""
    from openai import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        NotFoundError,
        PermissionDeniedError,
    )

    server = f"the server at {_without_credentials(settings.base_url)}"
    tries = f"{settings.retries + 1} tries"
    if isinstance(error, APITimeoutError):
        return PluginError(
            f"{server} did not answer within {settings.timeout_s:g} s ({tries}); raise "
            "options.reasoner.openai.timeout_s or ask a faster model"
        )
    if isinstance(error, APIConnectionError):
        cause = one_line(str(error.__cause__ or error))
        return PluginError(f"{server} cannot be reached ({tries}): {cause}; is it running?")
    said = one_line(str(error))
    if key := os.environ.get(settings.api_key_env or "OPENAI_API_KEY", "").strip():
        said = said.replace(key, "***")
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        name = settings.api_key_env or "OPENAI_API_KEY"
        return ConfigError(
            f"{server} refused the key; set options.reasoner.openai.api_key_env to the variable "
            f"that holds it (now {name}): {said}"
        )
    if isinstance(error, NotFoundError):
        return ConfigError(f"{server} does not know {settings.model!r} or this address: {said}")
    code = f" {error.status_code}" if isinstance(error, APIStatusError) else ""
    return PluginError(f"{server} answered with an error{code}: {said}")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return urlunsplit(
        (parts.scheme, f"{host}:{parts.port}" if parts.port else host, parts.path, "", "")
    )
