"""About how many tokens a call will take, learnt from those before it."""

from typing import Final

from dspy.lm15 import Request, Response

_CHARS_PER_TOKEN: Final = 4.0
_ANSWER_TOKENS: Final = 256.0
_WEIGHT: Final = 0.1
"""Of the newest call in what is learnt."""


class TokenEstimate:
    """Of one model. Providers tell the truth afterwards, so a guess in the right order of magnitude is enough."""

    def __init__(self) -> None:
        self._chars_per_token = _CHARS_PER_TOKEN
        self._answer_tokens = _ANSWER_TOKENS

    def of(self, request: Request) -> int:
        """Return the guess for a call, at least 1; what is not text counts as nothing."""
        asked = request.config.max_tokens
        answer = self._answer_tokens if asked is None else min(self._answer_tokens, asked)
        return max(1, round(_chars(request) / self._chars_per_token + answer))

    def learn(self, request: Request, response: Response) -> int:
        """Return what a call really took, 0 where the provider does not say, and do better next time."""
        used = response.usage
        if used.input_tokens is None or used.output_tokens is None:
            return 0
        if used.input_tokens > 0:
            self._chars_per_token += _WEIGHT * (_chars(request) / used.input_tokens - self._chars_per_token)
        self._chars_per_token = max(0.1, self._chars_per_token)
        self._answer_tokens += _WEIGHT * (used.output_tokens - self._answer_tokens)
        return int(used.input_tokens + used.output_tokens)


def _chars(request: Request) -> int:
    system = request.system
    chars = len(system) if isinstance(system, str) else sum(_length(part) for part in system or ())
    return chars + sum(_length(part) for message in request.messages for part in message.parts)


def _length(part: object) -> int:
    text = getattr(part, "text", None)
    return len(text) if isinstance(text, str) else 0
