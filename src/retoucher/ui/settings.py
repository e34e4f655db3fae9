"""How the page is served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from retoucher.errors import ConfigError
from retoucher.imaging.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class UiSettings:
    """Where the page listens and what it takes.

    Attributes:
        host: address to listen at.
        port: 0: any free one.
        user, password: asked for before anything is shown; password None: nobody is asked.
        max_upload_mb: largest file that is taken, in MiB.
        max_megapixels: largest picture that is decoded, in millions of pixels.
        idle_minutes: a picture that nobody touched for so long is forgotten.
        feedback: folder in which corrections are kept of users who allow it; None: not offered.

    Raises:
        ConfigError: on a value out of range.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    user: str = "retouch"
    password: str | None = None
    max_upload_mb: float = 64.0
    max_megapixels: float = 50.0
    idle_minutes: float = 60.0
    feedback: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must lie between 0 and 65535, got {self.port}")
        for name in ("max_upload_mb", "max_megapixels", "idle_minutes"):
            value = getattr(self, name)
            if not 0 < value < 1e6:
                raise ConfigError(f"{name} must be a positive number, got {value}")
        if self.password is not None and not self.password:
            raise ConfigError("the password is empty; give one, or leave the option out")

    @property
    def limits(self) -> Limits:
        """For reading what was uploaded."""
        return Limits(
            max_pixels=int(self.max_megapixels * 1e6),
            max_file_bytes=int(self.max_upload_mb * 2**20),
        )

    @property
    def is_local(self) -> bool:
        """Only programs on this machine reach the page."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
