"""Aligns a reasoner with people (stage 2, GRPO): `python recipes/reasoning_grpo.py CONFIG|PRESET`.

The same as `retouch train grpo CONFIG|PRESET`. Stops and goes on exactly where it stopped; for
several GPUs: `accelerate launch recipes/reasoning_grpo.py CONFIG|PRESET`.
"""

from __future__ import annotations

import sys

from retoucher.errors import RetoucherError
from retoucher.train.reasoning_run import run_reasoning

if __name__ == "__main__":
    try:
        run_reasoning("grpo", sys.argv[1], report=lambda line: print(line, flush=True))
    except (RetoucherError, IndexError) as error:
        sys.exit(f"reasoning_grpo: {error if isinstance(error, RetoucherError) else __doc__}")
