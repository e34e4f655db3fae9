"""The pool on a Ray cluster: Ray Data streams pictures through actors that hold their models.

Nodes exchange names, not pictures: IN and OUT lie under the same path on every node, on storage
that all of them share. One block is one picture, so a dead worker costs one picture's work.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from retoucher.batch.items import Item
from retoucher.batch.pool import ATTEMPTS, Answer
from retoucher.batch.process import Handler, WorkerSettings
from retoucher.batch.rate import Rate, turnstiles
from retoucher.batch.work import Done, MakeRetoucher, Order, Task, embedded, worker
from retoucher.config import Settings
from retoucher.errors import ConfigError, MissingDependencyError, RetoucherError

R = TypeVar("R")

LOCAL = "local"
"""Instead of an address: a cluster of this machine's processors, for as long as the run takes."""


PART = 10_000
"""So many pictures are one Ray data set; its actors begin anew with the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """Actors of a Ray cluster.

    Attributes:
        address: of a running cluster ("auto", "ray://host:10001"), or `LOCAL`.
        settings, order, rates: as for `work.worker`; a rate is divided among the actors.
        count: of actors.
        gpus: of each actor; fractions share one.
        threads: of each actor's numeric libraries; also the processors it asks Ray for.
        make: what each actor makes once.

    Raises:
        ConfigError: a value is out of range.
    """

    address: str
    settings: Settings
    order: Order
    rates: Sequence[Rate] = ()
    count: int = 1
    gpus: float = 0.0
    threads: int = 1
    make: MakeRetoucher = embedded

    def __post_init__(self) -> None:
        if self.count < 1 or self.gpus < 0 or self.threads < 1:
            raise ConfigError("a Ray pool needs workers >= 1, GPUs >= 0 and threads >= 1")

    def run(self, requests: Iterable[R], stop: Callable[[], bool]) -> Iterator[Answer[R]]:
        """See `pool.Pool`. Requests are drawn by thousands; after `stop` those under way are lost.

        Raises:
            MissingDependencyError: Ray is not installed.
            RetoucherError: the cluster cannot be reached, or no worker can start.
        """
        source = iter(requests)
        part = list(islice(source, PART))
        if not part:
            return
        ray = connect(self.address, self.count * self.threads)
        try:
            while part and not stop():
                yield from self._part(ray, part, stop)
                part = list(islice(source, PART))
        finally:
            ray.shutdown()  # leaves a cluster of others as it is

    def _part(self, ray: Any, part: Sequence[R], stop: Callable[[], bool]) -> Iterator[Answer[R]]:
        waiting = dict(enumerate(part))
        for number, answer in self._stream(ray, waiting):
            if isinstance(answer, Done):
                yield Answer(request=waiting.pop(number), value=answer)
            else:
                yield Answer(request=waiting.pop(number), error=answer)
            if stop():
                return
        for request in waiting.values():
            yield Answer(request=request, error=f"its Ray worker ended {ATTEMPTS} times")

    def _stream(self, ray: Any, waiting: Mapping[int, Any]) -> Iterator[tuple[int, Done | str]]:
        data: Any = importlib.import_module("ray.data")
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.max_errored_blocks = -1  # a picture that kills its workers ends nothing else
        rows = [{"number": n, "task": _packed(task)} for n, task in waiting.items()]
        made = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(self.settings, self.order, self._shares(), self.make),
            batch_size=1,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=self.count),
            num_gpus=self.gpus or None,
            num_cpus=self.threads,
            max_restarts=-1,
            max_task_retries=ATTEMPTS - 1,
            runtime_env={"env_vars": _threads(self.threads)},
        )
        try:
            for row in made.iter_rows():
                yield int(row["number"]), _unpacked_answer(row["answer"])
        except ray.exceptions.RayError as error:
            raise RetoucherError(f"Ray gave up: {str(error).splitlines()[0]}") from error

    def _shares(self) -> tuple[Rate, ...]:
        return tuple(
            Rate(name=rate.name, calls=rate.calls / self.count, seconds=rate.seconds)
            for rate in self.rates
        )


def connect(address: str, processors: int) -> Any:
    """The module `ray`, connected.

    Raises:
        MissingDependencyError: it is not installed.
        RetoucherError: nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "--ray needs Ray; run: pip install 'agentic-retoucher[ray]'"
        ) from error
    try:
        if address == LOCAL:
            ray.init(num_cpus=processors + 1, include_dashboard=False, logging_level="error")
        else:
            ray.init(address=address, logging_level="error")
    except Exception as error:  # Ray raises plain ones where a node does not start
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RetoucherError(f"no Ray cluster at {address}: {words}") from error
    return ray


class _Actor:
    """Runs in the cluster; Ray makes one for each worker, and one anew where it died."""

    def __init__(
        self, settings: Settings, order: Order, rates: Sequence[Rate], make: MakeRetoucher
    ) -> None:
        stiles = turnstiles(rates, WorkerSettings().context)
        self._handler: Handler = worker(settings, order, stiles, make)()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        answers = [self._answer(str(task)) for task in batch["task"]]
        return {"number": list(batch["number"]), "answer": answers}

    def _answer(self, task: str) -> str:
        try:
            done = self._handler(_unpacked(task), lambda value: None, lambda: False)
        except RetoucherError as error:
            return json.dumps({"error": str(error)})
        except Exception as bug:
            return json.dumps({"error": f"internal error, {type(bug).__name__}: {bug}"})
        return json.dumps({"done": asdict(cast(Done, done))})


def _packed(task: Task) -> str:
    item = task.item
    data = {
        "name": item.name, "path": str(item.path.absolute()), "prompt": item.prompt,
        "boxes": item.boxes, "folder": str(task.folder.absolute()),
    }  # fmt: skip
    return json.dumps(data)


def _unpacked(text: str) -> Task:
    data = json.loads(text)
    boxes = data["boxes"]
    item = Item(
        name=data["name"],
        path=Path(data["path"]),
        prompt=data["prompt"],
        boxes=None if boxes is None else tuple(tuple(box) for box in boxes),
    )
    return Task(item=item, folder=Path(data["folder"]))


def _unpacked_answer(text: str) -> Done | str:
    data = json.loads(text)
    return str(data["error"]) if "error" in data else Done(**data["done"])


def _threads(count: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(count))
