"""A batch on a Ray cluster of two workers, one of them killed in the middle.

The cluster is one of this machine, begun for the test; or, with RETOUCH_TEST_RAY=auto, one that
runs already.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra [ray] is not installed")
pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")

from retoucher.api import Retoucher
from retoucher.batch.items import Selection, find_items
from retoucher.batch.journal import HOME, open_journal
from retoucher.batch.rate import Turnstile
from retoucher.batch.ray_pool import RayPool
from retoucher.batch.run import Batch
from retoucher.batch.work import Order, embedded, work_digest
from retoucher.config import Settings, load_settings
from retoucher.records import Record
from tests.batch.pictures import CONFIG, PLUGIN, clean, files_in, folder_of, save

# Ray's own code uses what it has deprecated itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Log:
    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def checking(self, done: int, total: int) -> None: ...

    def planned(self, todo: int, total: int) -> None: ...

    def finished(self, name: str, record: Record) -> None:
        assert name not in self.records, f"{name} was done twice"
        self.records[name] = record


def make(flag: Path, settings: Settings, stiles: Mapping[str, Turnstile]) -> Retoucher:
    """The retoucher of an actor; the first picture called victim.png kills it, once."""
    retoucher = embedded(settings, stiles)
    perceiver = retoucher.agents.perceiver
    perceive = perceiver.perceive

    def deadly(image_rgb, prompt):  # type: ignore[no-untyped-def]
        if tuple(image_rgb[0, 0]) == (9, 9, 9) and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return perceive(image_rgb, prompt)

    perceiver.perceive = deadly  # type: ignore[method-assign]
    return retoucher


def test_two_workers_and_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(PLUGIN)
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{PLUGIN}{os.pathsep}{root}")  # actors inherit it
    source, out, flag = folder_of(tmp_path / "in", 12), tmp_path / "out", tmp_path / "flag"
    victim = clean(200)
    victim[0, 0] = (9, 9, 9)
    save(source / "victim.png", victim)
    (source / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    settings, order = load_settings(CONFIG), Order()
    pool = RayPool(
        address=os.environ.get("RETOUCH_TEST_RAY", "local"),
        settings=settings,
        order=order,
        count=2,
        make=partial(make, flag),
    )
    items, log = find_items(source, Selection()), Log()
    with closing(open_journal(out)) as journal:
        digest = work_digest(embedded(settings), order)
        batch = Batch(items=items, journal=journal, mode="fix", digest=digest, pool=pool)
        counts = batch.run(log, lambda: False)
        assert flag.exists()
        assert (counts.done, counts.failed) == (13, 1)
        assert "cut.png" in str(log.records["cut.png"]["error"])
        written = {name for name in files_in(out) if not name.startswith(f"{HOME}/")}
        assert written == {item.name for item in items} - {"cut.png"}
        states = Counter(entry.state for _, entry in journal.entries("fix"))
        assert states == {"done": 13, "failed": 1}
