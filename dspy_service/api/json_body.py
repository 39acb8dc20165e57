"""Refuses JSON that is not plain data: not UTF-8, NaN, lone surrogates, or nested too deeply."""

import json
import math
from collections.abc import Iterator

import pydantic_core

from dspy_service.api.json_depth import path_beyond
from dspy_service.domain.errors import InvalidRequestError

MAX_DEPTH = 32


def check_json(raw: bytes) -> None:
    """Check a body before it is validated.

    The fast parser refuses most of it without saying where; only then the standard library looks for the place.

    Raises:
        InvalidRequestError: names the field, or the line and column where the text stops being JSON.
    """
    try:
        value = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise _located(raw, error) from None
    if not _is_plain(value, 1):
        raise _first_problem(value, "", 1) or InvalidRequestError.of("", "the body is not plain data")


def _located(raw: bytes, refusal: ValueError) -> InvalidRequestError:
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
        return _too_deep(path_beyond(MAX_DEPTH, raw.decode()))
    except ValueError as error:  # a number with thousands of digits
        return InvalidRequestError.of("", f"the body is not JSON: {error}")
    return _first_problem(value, "", 1) or InvalidRequestError.of("", f"the body is not JSON: {refusal}")


def _is_plain(value: object, depth: int) -> bool:
    """Whether a parsed body is shallow and finite. Keeps no paths, to be fast; the parser refuses lone surrogates."""
    if isinstance(value, dict):
        return depth <= MAX_DEPTH and all(_is_plain(each, depth + 1) for each in value.values())
    if isinstance(value, list):
        return depth <= MAX_DEPTH and all(_is_plain(each, depth + 1) for each in value)
    return not isinstance(value, float) or math.isfinite(value)


def _first_problem(value: object, path: str, depth: int) -> InvalidRequestError | None:
    """Return what is wrong with the first value that is not plain data."""
    if depth > MAX_DEPTH and isinstance(value, dict | list):
        return _too_deep(path)
    if isinstance(value, float) and not math.isfinite(value):
        return InvalidRequestError.of(path, "must be a finite number, not NaN or infinity")
    if isinstance(value, str) and _has_surrogate(value):
        return InvalidRequestError.of(path, "holds a lone surrogate, which is no text; send valid Unicode")
    for inner, each in _children(value, path):
        if _has_surrogate(inner):
            return InvalidRequestError.of(path, "has a key with a lone surrogate, which is no text")
        problem = _first_problem(each, inner, depth + 1)
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


def _too_deep(path: str) -> InvalidRequestError:
    return InvalidRequestError.of(path[:256], f"is nested deeper than {MAX_DEPTH} levels")
