"""Loaded pipelines, kept for the next edit; those not used for longest go when memory is short."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import fields
from typing import Protocol

from retoucher.errors import ToolError
from retoucher.tools.diffusers.family import Family
from retoucher.tools.diffusers.loading import (
    Loaded,
    device_memory_bytes,
    free_memory,
    load,
    settle,
)
from retoucher.tools.diffusers.settings import PipelineSettings

_GB = 1e9
_SHARE = 0.9
_OF_RUNNING = {"licence", "memory_budget_gb", "min_side_px", "max_side_px", "steps"}
_OF_LOADING = {"safety", *(f.name for f in fields(PipelineSettings))} - _OF_RUNNING
"""Settings that make another pipeline of the same weights."""


class Pipelines(Protocol):
    """Where a tool gets its pipeline from."""

    def get(
        self, family: Family, settings: PipelineSettings, note: Callable[[str], None]
    ) -> Loaded:
        """The pipeline, ready to run; `note` is told what could not be done as asked."""
        ...

    def peek(self, family: Family, settings: PipelineSettings) -> Loaded | None:
        """The pipeline where it is loaded already."""
        ...

    def drop_others(self, loaded: Loaded, note: Callable[[str], None]) -> bool:
        """Make room where this one lies by forgetting others; False: there is none."""
        ...


class PipelineCache:
    """Pipelines by what they were loaded from, least recently used first.

    Safe to use from several threads; loading is done by one at a time.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[object, ...], Loaded] = OrderedDict()
        self._lock = threading.RLock()

    def get(
        self, family: Family, settings: PipelineSettings, note: Callable[[str], None]
    ) -> Loaded:
        """See `Pipelines.get`.

        Raises:
            ToolError: it cannot be loaded, or does not fit into the memory budget.
            MissingDependencyError: diffusers, or what it needs for this, is not installed.
        """
        key = _key(family, settings)
        with self._lock:
            loaded = self._held.get(key)
            if loaded is None:
                loaded = load(family, settings)
                self._make_room(loaded, settings.memory_budget_gb)
                settle(loaded, note)
                self._held[key] = loaded
            self._held.move_to_end(key)
            return loaded

    def peek(self, family: Family, settings: PipelineSettings) -> Loaded | None:
        """See `Pipelines.peek`."""
        return self._held.get(_key(family, settings))

    def drop_others(self, loaded: Loaded, note: Callable[[str], None]) -> bool:
        """See `Pipelines.drop_others`."""
        with self._lock:
            others = [
                key
                for key, held in self._held.items()
                if held is not loaded and held.home == loaded.device
            ]
            for key in others:
                del self._held[key]
        if others:
            note(f"out of memory on {loaded.device}: {len(others)} other pipeline(s) unloaded")
            free_memory()
        return bool(others)

    def clear(self) -> None:
        """Forget all pipelines and give their memory back."""
        with self._lock:
            self._held.clear()
            free_memory()

    def _make_room(self, newcomer: Loaded, budget_gb: float | None) -> None:
        if budget_gb is None:
            budget = _SHARE * device_memory_bytes(newcomer.home)
        else:
            budget = budget_gb * _GB
            if newcomer.size_bytes > budget:
                raise ToolError(
                    f"{newcomer.size_bytes / _GB:.1f} GB of weights exceed memory_budget_gb ="
                    f" {budget_gb:g}; raise it, or set offload or quantisation"
                )
        for key in list(self._held):
            there = [p for p in self._held.values() if p.home == newcomer.home]
            if sum(p.size_bytes for p in there) + newcomer.size_bytes <= budget:
                break
            if self._held[key].home == newcomer.home:
                del self._held[key]
        free_memory()


SHARED = PipelineCache()
"""Of the whole process: tools of several retouchers use each pipeline together."""


def _key(family: Family, settings: PipelineSettings) -> tuple[object, ...]:
    told = (f.name for f in fields(settings) if f.name in _OF_LOADING)
    return (family.pipeline, *((name, getattr(settings, name)) for name in sorted(told)))
