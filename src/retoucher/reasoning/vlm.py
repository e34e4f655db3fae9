"""What all reasoners have in common that ask a vision-language model, here or on a server."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar, cast

import retoucher
from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.reasoning.asking import Answer, diagnose_by
from retoucher.reasoning.conversation import Conversation
from retoucher.reasoning.lettering_evidence import LetteringEvidence
from retoucher.reasoning.views import ViewSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmSettings:
    """What any of them can be told.

    Attributes:
        lettering: add what the lettering reader measured (see `LetteringEvidence`).
        write_instructions: also ask what to make of each defect; the planner then takes these
            words instead of its template's (evidence of kind "repair_instruction").
        view: what is shown.
    """

    lettering: bool = True
    write_instructions: bool = False
    view: ViewSettings = field(default_factory=ViewSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings(VlmSettings):
    """What those on a server can be told.

    Attributes:
        model: as the server names it; must be given.
        api_key_env: environment variable that holds the key.
        temperature, seed: None: not sent, the model's own (some hosted models refuse them).
        max_tokens: of one reply, thinking included.
        timeout_s: for one try.
        retries: further tries after a connection error, a time-out, 408, 409, 429 or 5xx, with
            growing pauses or after the server's Retry-After.
        concurrency: so many requests at a time.
        usd_per_million_prompt_tokens, usd_per_million_completion_tokens: to reckon the cost; None:
            only what the server itself reports.

    Raises:
        ValueError: on a value out of range.
    """

    model: str = ""
    api_key_env: str | None = None
    temperature: float | None = 0.0
    seed: int | None = 0
    max_tokens: int = 2048
    timeout_s: float = 120.0
    retries: int = 4
    concurrency: int = 2
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_completion_tokens: float | None = None

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be positive, got {self.timeout_s}")
        if not 0 <= self.retries <= 20 or not 1 <= self.concurrency <= 64 or self.max_tokens < 1:
            raise ValueError(
                "retries must lie between 0 and 20, concurrency between 1 and 64, and max_tokens "
                f"above 0; got {self.retries}, {self.concurrency} and {self.max_tokens}"
            )

    def price(self, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
        """Cost in USD of so many tokens; None where a count or a price is not known."""
        usd_in, usd_out = self.usd_per_million_prompt_tokens, self.usd_per_million_completion_tokens
        if prompt_tokens is None or completion_tokens is None or usd_in is None or usd_out is None:
            return None
        return (prompt_tokens * usd_in + completion_tokens * usd_out) / 1e6


S = TypeVar("S", bound=VlmSettings)
R = TypeVar("R", bound=RemoteSettings)
Client = TypeVar("Client")


class VlmReasoner(ABC, Generic[S]):
    """Diagnoses by a vision-language model.

    Attributes:
        settings_type: of its settings.
        name: as the user names it.
    """

    settings_type: ClassVar[type[VlmSettings]]
    name: ClassVar[str]

    def __init__(
        self, settings: S | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Settings (None: defaults), and a clock in seconds, for the latency in the trace."""
        self._settings: S = cast(S, self.settings_type()) if settings is None else settings
        self._clock = clock
        self._lettering = LetteringEvidence() if self._settings.lettering else None

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(
            role="reasoner",
            name=self.name,
            version=retoucher.__version__,
            weights={
                **self._weights(),
                **(self._lettering.weights if self._lettering else {}),
            },
            device=self._device(),
            settings={**cast("dict[str, Json]", asdict(self._settings)), **self._told()},
        )

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        """One diagnosis per region, in their order; see `diagnose_by`.

        Raises:
            RetoucherError: as `ask`.
            InputError: as `diagnose_by`.
        """
        settings = self._settings
        diagnoses = diagnose_by(
            self.ask,
            image_rgb,
            prompt,
            regions,
            settings.view,
            write_instructions=settings.write_instructions,
        )
        if self._lettering is None:
            return diagnoses
        return self._lettering.added(diagnoses, image_rgb, prompt, regions)

    @abstractmethod
    def ask(self, conversations: Sequence[Conversation]) -> list[Answer]:
        """One answer per conversation, in their order."""

    def _weights(self) -> dict[str, str]:
        return {}

    def _device(self) -> str:
        return "remote"

    def _told(self) -> dict[str, Json]:
        """What the trace says of the settings besides, or in place of, themselves."""
        return {}


class RemoteReasoner(VlmReasoner[R], Generic[R, Client]):
    """Diagnoses by a model on a server, through the client of its kind."""

    def ask(self, conversations: Sequence[Conversation]) -> list[Answer]:
        """One answer per conversation, in their order.

        Raises:
            ConfigError: no model is named, the key is missing or refused, or the model is unknown.
            PluginError: the server cannot be reached, is too slow, or answers with an error.
            MissingDependencyError: the extra "api" is not installed.
        """
        workers = self._settings.concurrency
        with self._client() as client, ThreadPoolExecutor(max_workers=workers) as pool:
            return list(pool.map(partial(self._answer, client), conversations))

    @abstractmethod
    def _client(self) -> AbstractContextManager[Client, Any]:
        """A client for one round; no connection is kept open between rounds."""

    @abstractmethod
    def _answer(self, client: Client, conversation: Conversation) -> Answer:
        """One answer."""
