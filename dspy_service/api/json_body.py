"""Refuses JSON that is not plain data: not UTF-8, NaN, lone surrogates, or nested too deeply."""

import json
import math
from collections.abc import Iterator

import pydantic_core

from dspy_service.api.json_depth import path_beyond
from dspy_service.domain.errors import InvalidRequestError


def check_json(raw: bytes, *, max_depth: int) -> None:
    """Check a body before it is validated.

    The fast parser refuses most of it without saying where; only then the standard library looks for the place.

    Raises:
        InvalidRequestError: names the field, or the line and column where the text stops being JSON.
    """
    try:
        value = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise _located(raw, error, max_depth) from None
    if not _is_plain(value, max_depth):
        raise _first_problem(value, "", 1, max_depth) or InvalidRequestError.of("", "the body is not plain data")


def _located(raw: bytes, refusal: ValueError, max_depth: int) -> InvalidRequestError:
    if not raw.strip():
        return InvalidRequestError.of("", "the body is empty; send a JSON object")
    try:
        value = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        return InvalidRequestError.of("", f"the body is not UTF-8: byte {error.start}")
    except json.JSONDecodeError as error:
        return InvalidRequestError.of(
            "", f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        )
    except RecursionError:
        return _too_deep(path_beyond(max_depth, raw.decode()), max_depth)
    except ValueError as error:  # a number with thousands of digits
        return InvalidRequestError.of("", f"the body is not JSON: {error}")
    return _first_problem(value, "", 1, max_depth) or InvalidRequestError.of("", f"the body is not JSON: {refusal}")


def _is_plain(value: object, levels: int) -> bool:
    """Whether a parsed body has at most so many levels and is finite; the parser refuses lone surrogates.

    It keeps no paths, to be fast.
    """
    if isinstance(value, dict):
        return levels > 0 and all(_is_plain(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_plain(each, levels - 1) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


def _first_problem(value: object, path: str, depth: int, max_depth: int) -> InvalidRequestError | None:
    """Return what is wrong with the first value that is not plain data."""
    if depth > max_depth and isinstance(value, dict | list):
        return _too_deep(path, max_depth)
    if isinstance(value, float) and not math.isfinite(value):
        return InvalidRequestError.of(path, "must be a finite number, not NaN or infinity")
    if isinstance(value, str) and _has_surrogate(value):
        return InvalidRequestError.of(path, "holds a lone surrogate, which is no text; send valid Unicode")
    for inner, each in _children(value, path):
        if _has_surrogate(inner):
            return InvalidRequestError.of(path, "has a key with a lone surrogate, which is no text")
        problem = _first_problem(each, inner, depth + 1, max_depth)
        if problem is not None:
            return problem
    return None


def _children(value: object, path: str) -> Iterator[tuple[str, object]]:
    start = f"{path}." if path else ""
    if isinstance(value, dict):
        for name, each in value.items():
            yield start + name, each
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield f"{start}{index}", each


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _too_deep(path: str, max_depth: int) -> InvalidRequestError:
    return InvalidRequestError.of(path[:256], f"is nested deeper than {max_depth} levels")
