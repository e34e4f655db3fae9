"""Teaches a reasoner its replies (stage 1, SFT): `python recipes/reasoning_sft.py CONFIG|PRESET`.

The same as `retouch train sft CONFIG|PRESET`. Stops and goes on exactly where it stopped; for
several GPUs: `accelerate launch recipes/reasoning_sft.py CONFIG|PRESET`.
"""

from __future__ import annotations

import sys

from retoucher.errors import RetoucherError
from retoucher.train.reasoning_run import run_reasoning

if __name__ == "__main__":
    try:
        run_reasoning("sft", sys.argv[1], report=lambda line: print(line, flush=True))
    except (RetoucherError, IndexError) as error:
        sys.exit(f"reasoning_sft: {error if isinstance(error, RetoucherError) else __doc__}")
