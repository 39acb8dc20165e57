"""What an optimizer asks of its kwargs together: rules that no single kwarg can state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from dspy_service.domain.result import SplitCounts


@dataclass(frozen=True)
class Asked:
    """One request for an optimizer, with the defaults of everything that was not given."""

    optimizer: str
    """The name as the client wrote it."""
    kwargs: Mapping[str, JsonValue]
    compile_kwargs: Mapping[str, JsonValue]
    splits: SplitCounts


Rule = Callable[[Asked], None]
"""Raises UnsupportedRequestError when the request cannot work; every kwarg was checked alone before."""


def no_rule(_asked: Asked) -> None:
    """Accept any combination."""


def whole(value: JsonValue) -> int:
    """Read a kwarg that was already checked to be an integer; null counts as zero."""
    return value if isinstance(value, int) else 0
