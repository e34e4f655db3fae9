"""Validation splits that keep look-alikes together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from retoucher.data.sample import Sample


def held_out(
    samples: Sequence[Sample], share: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Training and validation samples.

    Pictures of one source that share a prompt (one profession, one subject) fall on the same side;
    a prompt of fewer than five pictures, or none, does not bind. Which side depends on the group's
    own name alone, so that it stays where it is when the data set grows.

    Args:
        samples: of one or more sources.
        share: about how much of them to hold out, 0 to 1.
        seed: of the split.
    """
    groups = Counter((s.source, s.prompt) for s in samples)
    train: list[Sample] = []
    validation: list[Sample] = []
    for sample in samples:
        group = (sample.source, sample.prompt)
        key = f"{group}" if sample.prompt and groups[group] >= 5 else sample.id
        digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
        drawn = int.from_bytes(digest[:4], "big") / 2**32
        (validation if drawn < share else train).append(sample)
    return train, validation
