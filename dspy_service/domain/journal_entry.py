"""One answer of a language model as a job's journal keeps it: what it cost, and the answer itself.

As a text it is two lines: a JSON list with the facts, its first item the schema version, and the answer as one member
of a JSON object, ready to be put into a frame. Neither holds a line break: many entries are many pairs of lines.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import pydantic_core

from dspy_service.domain.schema_version import require_known_version

SCHEMA_VERSION: Final = 1

Origin = Literal["provider", "refusal", "cache"]
"""Where an answer came from: a provider answered and is paid; it refused what was asked; an earlier job of the same
tenant had paid for it already."""

_ORIGINS: Final = get_args(Origin)
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_RESPONSE: Final = b'"response":'
_FACTS: Final = 9


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An answer that stands for its key as long as the job lives."""

    key: str
    """64 hexadecimal digits; equal calls of a job have equal keys."""
    role: str
    """Who asked first."""
    model: str
    """The stable alias of the model that answered."""
    origin: Origin
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """What a provider was paid, by whichever job; None: the price is not known."""
    answer: bytes = field(repr=False)
    """A ``"response": …`` or an ``"error": …`` of an ``answer`` frame."""
    is_estimated: bool = False
    """Whether the provider told no tokens, so that they and the cost are a guess on the high side."""

    @property
    def is_response(self) -> bool:
        """Whether the answer is what a model said, and no error."""
        return self.answer.startswith(_RESPONSE)

    @property
    def is_paid(self) -> bool:
        """Whether this job pays for it."""
        return self.origin == "provider"

    def text(self) -> bytes:
        """Return the two lines, without a line break at their end."""
        facts = [
            SCHEMA_VERSION,
            self.key,
            self.role,
            self.model,
            self.origin,
            self.prompt_tokens,
            self.completion_tokens,
            self.cost_usd,
            self.is_estimated,
        ]
        return pydantic_core.to_json(facts) + b"\n" + self.answer

    @classmethod
    def parse(cls, text: bytes) -> "JournalEntry":
        """Read what :meth:`text` wrote.

        Raises:
            ValueError: it is something else.
            ConfigurationError: a newer release wrote it.
        """
        first, _, answer = text.partition(b"\n")
        facts = pydantic_core.from_json(first)
        if not isinstance(facts, list) or not facts or type(facts[0]) is not int:
            raise ValueError("the facts are not a list with a version")
        require_known_version("an answer", facts[0], known=SCHEMA_VERSION)
        if not answer or b"\n" in answer or not _is_sound(facts):
            raise ValueError("the facts are not those of a journal's entry")
        _, key, role, model, origin, prompt_tokens, completion_tokens, cost_usd, is_estimated = facts
        return cls(
            key,
            role,
            model,
            origin,
            prompt_tokens,
            completion_tokens,
            cost_usd,
            answer,
            is_estimated=is_estimated,
        )


def _is_sound(facts: list[Any]) -> bool:
    if len(facts) != _FACTS:
        return False
    _, key, role, model, origin, prompt_tokens, completion_tokens, cost_usd, is_estimated = facts
    return (
        isinstance(key, str)
        and _KEY.fullmatch(key) is not None
        and isinstance(role, str)
        and isinstance(model, str)
        and origin in _ORIGINS
        and type(prompt_tokens) is int
        and type(completion_tokens) is int
        and (cost_usd is None or isinstance(cost_usd, float | int))
        and isinstance(is_estimated, bool)
    )
