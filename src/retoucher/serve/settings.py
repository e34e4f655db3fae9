"""How the service runs, and what it lets a client ask for."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from retoucher.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Limits of the service.

    Attributes:
        host, port: where it listens.
        api_key: what clients must send; None: anybody who reaches it may use it.
        open_to_all: an address other than this machine's own may be used without a key.
        workers: processes, each with its models: so many pictures are worked on at a time.
        queue: jobs that may wait beside those; further ones are turned away.
        job_timeout_s: from the start of the work.
        read_timeout_s: for a request's body.
        max_image_bytes, max_pixels: of a picture.
        result_ttl_s: a finished job is forgotten after so long.
        max_results: so many finished jobs are kept at most, the latest.
        max_result_bytes: of all kept results together.
        worker_memory_gb: see `batch.process.WorkerSettings`.

    Raises:
        ConfigError: a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    api_key: str | None = None
    open_to_all: bool = False
    workers: int = 1
    queue: int = 16
    job_timeout_s: float = 300.0
    read_timeout_s: float = 60.0
    max_image_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000
    result_ttl_s: float = 600.0
    max_results: int = 200
    max_result_bytes: int = 512 * 2**20
    worker_memory_gb: float | None = None

    def __post_init__(self) -> None:
        for name in ("workers", "max_image_bytes", "max_pixels", "max_results", "max_result_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("job_timeout_s", "read_timeout_s", "result_ttl_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if self.queue < 0:
            raise ConfigError(f"queue must not be negative, got {self.queue}")
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port must lie between 0 and 65535, got {self.port}")
        if self.api_key is not None and len(self.api_key) < 16:
            raise ConfigError("the API key needs at least 16 characters")
        if self.api_key is None and not self.is_local and not self.open_to_all:
            raise ConfigError(
                f"{self.host} can be reached from other machines: set an API key "
                "(--api-key-env), or say --open"
            )

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def max_body_bytes(self) -> int:
        """Of a whole request: the picture as base64, and some words."""
        return self.max_image_bytes * 4 // 3 + 2**20

    @property
    def slots(self) -> int:
        """Jobs that may wait or run."""
        return self.workers + self.queue
