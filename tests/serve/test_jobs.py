"""How long results are kept, how many, and how large; and who may listen where."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from retoucher.errors import ConfigError
from retoucher.serve.jobs import MAX_EVENTS, Busy, Job, JobStore
from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import Output, Work

WORK = Work(kind="find", image=b"x")


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def make(clock: Clock, **settings: Any) -> JobStore:
    return JobStore(ServiceSettings(**settings), clock=clock)


def done(store: JobStore, size_bytes: int = 10) -> Job:
    store.reserve()
    job = store.submit(WORK)
    store.start(job)
    store.finish(job, "done", output=Output(record={}, image=b"x" * size_bytes))
    return job


def test_results_expire():
    clock = Clock()
    store = make(clock, result_ttl_s=60.0)
    job = done(store)
    clock.now_s += 59
    assert store.get(job.id) is job
    clock.now_s += 2
    assert store.get(job.id) is None
    assert store.kept_bytes == 0


def test_the_latest_results_are_kept_by_number_and_size():
    clock = Clock()
    store = make(clock, max_results=3, max_result_bytes=100)
    jobs = []
    for _ in range(5):
        jobs.append(done(store))
        clock.now_s += 1
    assert [store.get(job.id) is not None for job in jobs] == [False, False, True, True, True]
    large = done(store, size_bytes=90)
    clock.now_s += 1
    assert store.get(jobs[4].id) is not None
    assert store.get(jobs[3].id) is None
    huge = done(store, size_bytes=500)  # the latest is always kept
    assert store.get(huge.id) is huge
    assert store.get(large.id) is None


def test_slots_come_back():
    store = make(Clock(), queue=1)
    store.reserve()
    job = store.submit(WORK)
    store.reserve()
    with pytest.raises(Busy):
        store.reserve()
    store.release()
    store.reserve()
    store.release()
    store.cancel(job)
    assert job.state == "cancelled"
    assert not store.start(job)
    store.cancel(job)
    assert store.get(job.id) is None
    store.reserve()
    store.reserve()


def test_listeners_see_everything_in_order_and_the_end_of_a_flood():
    async def scenario() -> list[str]:
        store = make(Clock())
        store.reserve()
        job = store.submit(WORK)
        seen: list[str] = []

        async def listen() -> None:
            async for _, event in job.follow():
                seen.append(str(event["event"]))

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        store.start(job)
        for _ in range(MAX_EVENTS + 50):
            job.add({"event": "perceived"})
        await asyncio.sleep(0)
        store.finish(job, "failed", error="why")
        await asyncio.wait_for(listener, 5)
        return seen

    seen = asyncio.run(scenario())
    assert seen[:3] == ["queued", "running", "perceived"]
    assert seen[-1] == "failed"
    assert len(seen) == MAX_EVENTS + 1


@pytest.mark.parametrize(
    "values",
    [
        {"workers": 0}, {"queue": -1}, {"port": 70000}, {"job_timeout_s": 0.0},
        {"api_key": "short"}, {"host": "0.0.0.0"}, {"host": "pictures.example"}, {"host": "::"},
    ],
)  # fmt: skip
def test_bad_settings(values: dict[str, Any]):
    with pytest.raises(ConfigError):
        ServiceSettings(**values)


def test_where_it_may_listen():
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert ServiceSettings(host=host).is_local
    assert not ServiceSettings(host="0.0.0.0", api_key="k" * 16).is_local
    assert not ServiceSettings(host="0.0.0.0", open_to_all=True).is_local
