"""The compact preset's tokenizer: words hashed into a fixed number of ids.

There is no vocabulary to ship or to go out of date, every language and spelling has an id, and the
same word has the same id everywhere. Two words may share one, which is harmless at this size.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]", re.UNICODE)

PAD = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HashTokenizer:
    """Prompts to token ids.

    Attributes:
        buckets: number of ids, `PAD` included.
        max_tokens: longer prompts are cut.
    """

    buckets: int = 4096
    max_tokens: int = 48

    def encode(self, prompt: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Ids and validity, each of shape (max_tokens,); an empty prompt has no valid token."""
        text = unicodedata.normalize("NFKC", prompt).casefold()
        words = _WORD.findall(text)[: self.max_tokens]
        ids = np.full(self.max_tokens, PAD, np.int64)
        for i, word in enumerate(words):
            ids[i] = 1 + zlib.crc32(word.encode("utf-8", "replace")) % (self.buckets - 1)
        return ids, np.arange(self.max_tokens) < len(words)
