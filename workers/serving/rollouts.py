"""A ``dspy.LM`` whose engine learns which of several samples of one request is asked for; DSPy does not pass it on."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import dspy


class Sample(NamedTuple):
    """One of several answers to equal requests."""

    rollout_id: Any = None
    candidate: int = 0
    """From 0, within one call of a ``dspy.LM``."""


@dataclass
class _Asked:
    """One call of a ``dspy.LM``, which asks its engine once for each candidate."""

    rollout_id: Any
    candidates: int = 0


_ASKED: ContextVar[_Asked] = ContextVar("dspy_service_asked")


def next_sample() -> Sample:
    """Return which sample the engine is asked for now, in the task or thread of a :class:`RolloutLM`."""
    asked = _ASKED.get()
    asked.candidates += 1
    return Sample(asked.rollout_id, asked.candidates - 1)


class RolloutLM(dspy.LM):  # type: ignore[misc]  # DSPy is untyped
    """Remembers the rollout of a call, which DSPy takes out of the request that the engine sees."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # DSPy's own signature
        """Remember the rollout of this call, then call as always."""
        token = _ASKED.set(self._asked(kwargs))
        try:
            return super().__call__(*args, **kwargs)
        finally:
            _ASKED.reset(token)

    async def acall(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # DSPy's own signature
        """Remember the rollout of this call, then call as always."""
        token = _ASKED.set(self._asked(kwargs))
        try:
            return await super().acall(*args, **kwargs)
        finally:
            _ASKED.reset(token)

    def _asked(self, kwargs: dict[str, Any]) -> _Asked:
        return _Asked(kwargs.get("rollout_id", self.kwargs.get("rollout_id")))
