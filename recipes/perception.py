"""Trains a perception network: `python recipes/perception.py recipes/NAME.toml`.

The same as `retouch train perception recipes/NAME.toml`. Stops and goes on exactly where it
stopped; `recipes/perception_export.py` turns best.ckpt into what ships.
"""

from __future__ import annotations

import sys
from pathlib import Path

from retoucher.errors import RetoucherError
from retoucher.train.recipe import run_recipe

if __name__ == "__main__":
    try:
        run_recipe(Path(sys.argv[1]), report=lambda line: print(line, flush=True))
    except (RetoucherError, IndexError) as error:
        sys.exit(f"perception: {error if isinstance(error, RetoucherError) else __doc__}")
