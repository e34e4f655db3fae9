"""Where a server is: checked addresses, and whether one leaves this machine."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from retoucher.errors import ConfigError, MissingDependencyError, ToolError

_PORTS = {"http": 80, "https": 443}


def checked_url(url: str, setting: str) -> str:
    """The address without a trailing slash.

    Raises:
        ConfigError: not http(s)://host[:port][/path], or with credentials, query or fragment in it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and bool(parts.hostname) and _port(parts) > 0
    except ValueError:
        good, parts = False, SplitResult("", "", "", "", "")
    if not good or parts.query or parts.fragment:
        raise ConfigError(f"{setting} must look like http://host:port, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"{setting} must not hold credentials; put them in an environment variable and name it"
        )
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the address is this machine itself: 127.0.0.0/8, ::1 or localhost.

    Any other name counts as another machine, whatever it resolves to: no look-up is made.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_origin(a: str, b: str) -> bool:
    """Whether both addresses have the same scheme, host and port."""
    try:
        x, y = urlsplit(a), urlsplit(b)
        return (x.scheme, x.hostname, _port(x)) == (y.scheme, y.hostname, _port(y))
    except ValueError:
        return False


def _port(parts: SplitResult) -> int:
    return parts.port if parts.port is not None else _PORTS.get(parts.scheme, 0)


def secret(variable: str | None) -> str | None:
    """What the environment variable holds; None where none is named.

    Raises:
        ToolError: it is not set, or empty.
    """
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ToolError(f"no key: set the environment variable {variable}")
    return value


def missing(error: ImportError, tool: str, extra: str) -> MissingDependencyError:
    """What to raise where a library of an extra is not installed."""
    return MissingDependencyError(
        f"{tool} needs {error.name}; install it: pip install 'agentic-retoucher[{extra}]'"
    )
