"""The command line itself: fast help, version, completion, inventory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from retoucher import __version__
from retoucher.cli.display import RichDisplay
from retoucher.cli.plain import plain
from tests.cli.conftest import Command
from tests.report import runs

HEAVY = ("numpy", "cv2", "PIL", "rich", "pydantic", "onnxruntime", "rapidocr")


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
        check=False,
    )


def test_help_imports_nothing_heavy():
    """What makes `retouch --help` answer at once; a timed test would judge the machine."""
    code = (
        "import sys; from retoucher.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    assert python(code).stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("verb", ["fix", "find"])
def test_help_documents_the_exit_codes(command: Command, verb: str):
    said = command(verb, "--help")
    assert said.code == 0
    for words in ("Exit codes:", "at least one picture failed", "130  cancelled"):
        assert words in said.out


def test_version(command: Command):
    assert command("--version").out == f"retouch {__version__}\n"


def test_no_arguments_show_the_help(command: Command):
    said = command()
    assert "Commands:" in said.out + said.err


def test_completion_knows_commands_and_categories():
    code = "from retoucher.cli.main import main; main()"
    env = {"_RETOUCH_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "retouch f"}
    assert set(python(code, **env).stdout.split()) == {"fix", "find"}
    env |= {"COMP_WORDS": "retouch fix --only text_", "COMP_CWORD": "3"}
    assert set(python(code, **env).stdout.split()) == {"text_garbled", "text_wrong"}
    env |= {"COMP_WORDS": "retouch batch --reasoner op", "COMP_CWORD": "3"}
    assert python(code, **env).stdout.split() == ["openai"]


def test_tools_lists_each_with_its_licence(command: Command):
    said = command("tools", "--json")
    assert said.code == 0
    records = {record["name"]: record for record in map(json.loads, said.out.splitlines())}
    assert {"lettering", "patchmatch", "opencv-inpaint"} <= set(records)
    for name in ("lettering", "patchmatch", "opencv-inpaint"):
        assert records[name]["error"] is None
        assert records[name]["spec"]["licence"]
        assert records[name]["spec"]["network"] is False
    words = command("tools").out
    assert "lettering" in words
    assert "licence" in words


def test_a_broken_plugin_is_listed_with_its_reason(
    command: Command, monkeypatch: pytest.MonkeyPatch
):
    from retoucher import plugins

    real = plugins.discover
    broken = plugins.Plugin(
        kind="tool",
        name="odd",
        target="odd:Tool",
        distribution="odd 1.0",
        factory=None,
        error="ModuleNotFoundError: no odd",
    )
    monkeypatch.setattr(plugins, "discover", lambda k: (*real(k), *([broken] * (k == "tool"))))
    said = command("tools")
    assert said.code == 0
    assert "tool odd (odd 1.0): ModuleNotFoundError: no odd" in said.out


def test_doctor_finds_the_program_fit(command: Command):
    said = command("doctor", "--json")
    assert said.code == 0
    record = json.loads(said.out)
    assert record["able"] is True
    assert all(finding["ok"] for finding in record["packages"])
    assert {finding["what"] for finding in record["agents"]} >= {
        "perceiver text",
        "reasoner embedded",
    }


def test_doctor_says_what_is_wrong(command: Command, monkeypatch: pytest.MonkeyPatch):
    from retoucher import plugins
    from retoucher.errors import PluginError

    real = plugins.create

    def create(kind: plugins.Kind, name: str) -> object:
        if kind == "perceiver":
            raise PluginError(f"{name} is not there")
        return real(kind, name)

    monkeypatch.setattr(plugins, "create", create)
    said = command("doctor")
    assert said.code == 1
    assert "NO  perceiver text" in said.out
    assert "text is not there" in said.out


WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {gone!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone())
from retoucher.cli.main import main
main({arguments!r})
"""


@pytest.mark.parametrize("gone", ["cv2", "numpy", "PIL", "rich"])
def test_a_missing_package_is_one_line_and_does_not_stop_the_doctor(gone: str):
    said = python(WITHOUT.format(gone=[gone], arguments=["fix", "a.png"]))
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 1, said.stderr
    assert f"No module named {gone!r}" in said.stderr
    said = python(WITHOUT.format(gone=[gone], arguments=["doctor"]))
    assert "Traceback" not in said.stderr
    assert "Packages of the core" in said.stdout
    assert (said.returncode == 1) == (gone != "rich")  # nothing that repairs needs rich


def test_progress_shows_words_from_outside_as_words():
    stream = io.StringIO()
    display = RichDisplay(console=Console(file=stream, width=200, highlight=False))
    for event in runs.events("[red]HELO[/red] \x1b[31m [link=http://x]"):
        display.see(event)
    assert "[red]HELO[/red]" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_plain_is_one_line():
    assert plain("a\nb\x1b[1m\x07c\u202ed") == "a b [1m c d"
