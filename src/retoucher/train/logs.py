"""Where a run's figures go: CSV files, and TensorBoard where it is asked for."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from retoucher.errors import InputError
from retoucher.imaging import atomic
from retoucher.train.extras import need

Kind = Literal["training", "validation"]
FILES: Mapping[Kind, str] = {"training": "log.csv", "validation": "validation.csv"}


class RunLog(Protocol):
    """Takes rows of figures, each with its `step`."""

    def rewind(self, step: int) -> None:
        """Called first. Forgets what lies after `step`, as the run will do that again."""
        ...

    def write(self, kind: Kind, row: Mapping[str, float]) -> None:
        """A row of training or validation figures."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class CsvLog:
    """log.csv and validation.csv in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rewind(self, step: int) -> None:
        """See `RunLog`."""
        for name in FILES.values():
            file = self._folder / name
            if not file.exists():
                continue
            with file.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                columns, rows = list(reader.fieldnames or ()), list(reader)
            # A row that a crash cut short has no figures in its last columns.
            whole = [r for r in rows if None not in r.values()]
            kept = [r for r in whole if float(r["step"]) <= step]
            if len(kept) < len(rows):
                atomic.write_bytes(file, _csv(columns, kept))

    def write(self, kind: Kind, row: Mapping[str, float]) -> None:
        """See `RunLog`.

        Raises:
            InputError: the file there has other columns.
        """
        file = self._folder / FILES[kind]
        if not file.exists():
            file.write_bytes(_csv(list(row), []))
        with file.open("r+", newline="", encoding="utf-8") as stream:
            columns = next(csv.reader(stream), list[str]())
            if columns != list(row):
                raise InputError(f"{file}: is the log of another kind of run; move it away")
            stream.seek(0, io.SEEK_END)
            csv.DictWriter(stream, columns).writerow(row)

    def close(self) -> None:
        """See `RunLog`."""


class TensorBoardLog:
    """Event files in a folder `tensorboard`.

    Raises:
        MissingDependencyError: tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        need("tensorboard", "tensorboard = true")
        self._folder = folder / "tensorboard"
        self._writer: Any | None = None

    def rewind(self, step: int) -> None:
        """See `RunLog`."""
        from torch.utils.tensorboard import SummaryWriter

        self.close()
        make = cast("Any", SummaryWriter)
        self._writer = make(str(self._folder), purge_step=step + 1)

    def write(self, kind: Kind, row: Mapping[str, float]) -> None:
        """See `RunLog`."""
        assert self._writer is not None, "rewind comes first"
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(f"{kind}/{name}", value, int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """See `RunLog`."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _csv(columns: list[str], rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
