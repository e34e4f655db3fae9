"""What the service measures of itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from retoucher.serve.crew import Crew
from retoucher.serve.jobs import Job, JobStore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "retouch_requests", "Requests.", ["route", "status"], registry=self._registry
        )
        self._jobs = Counter(
            "retouch_jobs", "Finished jobs.", ["kind", "state"], registry=self._registry
        )
        self._seconds = Histogram(
            "retouch_job_seconds",
            "From a job's request to its end.",
            ["kind"],
            buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=self._registry,
        )

    def watch(self, store: JobStore, crew: Crew) -> None:
        """Measure these when somebody asks."""
        self._gauge("retouch_jobs_queued", "Jobs that wait.", lambda: store.queued)
        self._gauge("retouch_jobs_running", "Jobs under way.", lambda: store.running)
        self._gauge("retouch_results_bytes", "Of kept results.", lambda: store.kept_bytes)
        self._gauge("retouch_workers_ready", "Workers that can work.", lambda: crew.alive)
        self._gauge("retouch_workers_replaced", "Workers that died.", lambda: crew.restarts)

    def _gauge(self, name: str, words: str, value: Callable[[], float]) -> None:
        Gauge(name, words, registry=self._registry).set_function(value)

    def request(self, route: str, status: int) -> None:
        """A request was answered."""
        self._requests.labels(route, str(status)).inc()

    def job(self, job: Job) -> None:
        """A job has ended."""
        self._jobs.labels(job.kind, job.state).inc()
        if job.finished_s is not None:
            self._seconds.labels(job.kind).observe(job.finished_s - job.created_s)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
