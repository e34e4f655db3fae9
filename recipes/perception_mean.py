"""Writes the mean of several runs' weights, for a further run to `start` from.

    python recipes/perception_mean.py OUT.ckpt RUN.ckpt RUN.ckpt [...]

The runs must have started from the same weights, or from means of such.
"""

from __future__ import annotations

import sys
from pathlib import Path

from retoucher.errors import RetoucherError
from retoucher.train.averaging import mean_weights
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, *runs = (Path(name) for name in sys.argv[1:])
    try:
        states = [load_checkpoint(run)["average"] for run in runs]
        out.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint({"average": mean_weights(states)}, out)
    except RetoucherError as error:
        sys.exit(f"perception_mean: {error}")
