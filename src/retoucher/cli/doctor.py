"""`retouch doctor`: what is installed, what would run, what to install for more."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict, dataclass
from importlib import metadata

import retoucher
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import plain

DISTRIBUTION = "agentic-retoucher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the examination: `ok` None means that it could not be tried."""

    what: str
    ok: bool | None
    words: str


def run_doctor(*, as_json: bool) -> int:
    """Examine, print, and return 0 where a repair could run."""
    packages, extras = _packages(), _extras()
    agents, tools = _trials()
    working = any(f.ok for f in agents) and not any(f.ok is False for f in agents)
    able = working and any(f.ok is not False for f in tools)
    if as_json:
        record = {
            "retoucher": retoucher.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": [asdict(f) for f in packages],
            "agents": [asdict(f) for f in agents],
            "tools": [asdict(f) for f in tools],
            "extras": [asdict(f) for f in extras],
            "able": able,
        }
        print(json.dumps(record, ensure_ascii=False))
    else:
        print(f"retouch {retoucher.__version__}, Python {platform.python_version()}")
        print(platform.platform())
        _print("Packages of the core", packages)
        _print("What looks and judges (profile embedded)", agents)
        _print("What repairs", tools)
        _print("Extras", extras)
        print(
            "\nReady: retouch fix would run." if able else "\nNot ready: see the lines marked NO."
        )
    return ExitCode.OK if able else ExitCode.SOME_FAILED


def _trials() -> tuple[list[Finding], list[Finding]]:
    """What looks and what repairs; where a package is missing, only that."""
    try:
        from retoucher.cli.trials import try_agents, try_tools
    except ImportError as error:
        return [Finding(what="the program", ok=False, words=f"cannot be loaded: {error}")], []
    return try_agents(), try_tools()


def _print(title: str, findings: list[Finding]) -> None:
    print(f"\n{title}")
    marks = {True: "ok", False: "NO", None: "--"}
    wide = max((len(finding.what) for finding in findings), default=0)
    for finding in findings:
        print(f"  {marks[finding.ok]}  {plain(finding.what):<{wide}}  {plain(finding.words)}")
    if not findings:
        print("  none")


def _requirements() -> list[tuple[str, str, str | None]]:
    """(package, full requirement, extra or None) of our own distribution."""
    found: list[tuple[str, str, str | None]] = []
    for line in metadata.requires(DISTRIBUTION) or []:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        assert name is not None
        found.append((name.group(), line.split(";")[0].strip(), extra and extra.group(1)))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> list[Finding]:
    findings: list[Finding] = []
    for name, requirement, extra in _requirements():
        if extra is None:
            version = _version(name)
            words = version or f"missing; run: pip install '{requirement}'"
            findings.append(Finding(what=name, ok=version is not None, words=words))
    return findings


def _extras() -> list[Finding]:
    findings: list[Finding] = []
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        names = [name for name, _, of in _requirements() if of == extra]
        missing = [name for name in names if _version(name) is None]
        words = f"installed: {', '.join(names)}"
        if missing:
            words = f"lacks {', '.join(missing)}; run: pip install '{DISTRIBUTION}[{extra}]'"
        findings.append(Finding(what=extra, ok=None if missing else True, words=words))
    return findings
