"""Chance that can be repeated: every draw follows from the request, the seed and the sample."""

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")
_NOISE: Final = 0.35  # of a score, at temperature 1: enough to flip close calls only


class Draw:
    """A source of repeatable choices for one request.

    Args:
        request: The whole text of the request.
        seed: The model's seed.
        temperature: 0 makes every sample of a request equal.
        sample: Names one of several samples of the same request.
    """

    def __init__(self, request: str, *, seed: int, temperature: float, sample: str = "") -> None:
        self.temperature = temperature
        self._sample = f"{seed}\x00{sample if temperature > 0 else ''}"
        self._key = f"{self._sample}\x00{request}"
        self._random = random.Random(digest(self._key))  # noqa: S311 - repeatable by design, guards nothing

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely."""
        return self._random.choice(options)

    def settle(self, text: str, options: Sequence[str]) -> str:
        """Break a tie by the input alone, so that a prompt that knows no more than another scores no better."""
        return max(options, key=lambda option: digest(f"{self._sample}\x00{text}\x00{option}"))

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self._random.randint(low, high)

    def noise(self, name: str) -> float:
        """Gumbel noise for one option; 0 at temperature 0."""
        if self.temperature <= 0:
            return 0.0
        share = (digest(f"{self._key}\x00{name}") % 2**52 + 1) / (2**52 + 2)
        return -math.log(-math.log(share)) * _NOISE * self.temperature


def digest(text: str) -> int:
    """A stable 64-bit number for a text; lone surrogates are allowed."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
