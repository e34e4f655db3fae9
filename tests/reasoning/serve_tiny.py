"""A process: transformers' own OpenAI-compatible server with the tiny Qwen2.5-VL.

    python -m tests.reasoning.serve_tiny FOLDER PORT

Only the processor is registered anew, as transformers' own needs torchvision.
"""

from __future__ import annotations

import sys

from transformers import AutoProcessor, Qwen2_5_VLConfig
from transformers.cli.serve import Serve

from tests.reasoning.tiny_vlm import PictureProcessor

if __name__ == "__main__":
    AutoProcessor.register(Qwen2_5_VLConfig, PictureProcessor, exist_ok=True)
    Serve(force_model=sys.argv[1], port=int(sys.argv[2]), host="127.0.0.1", device="cpu")
