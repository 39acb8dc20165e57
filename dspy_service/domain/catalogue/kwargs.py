"""Checks keyword arguments against a catalogue entry: names, JSON types, bounds and choices."""

import difflib
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from dspy_service.domain.catalogue.entries import Kwarg, KwargKind
from dspy_service.domain.errors import UnsupportedRequestError

_TYPES: Mapping[KwargKind, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "object": (dict,),
    "array": (list,),
}


def check_kwargs(
    given: Mapping[str, JsonValue],
    accepted: Mapping[str, Kwarg],
    refused: Mapping[str, str],
    *,
    field: str,
    owner: str,
) -> None:
    """Check each kwarg by itself.

    Args:
        given: what the client sent.
        accepted: what the entry allows.
        refused: names that DSPy knows and we cannot take, with the reason.
        field: the payload's field, for example ``optimizer_kwargs``.
        owner: the name of the optimizer or module, for the message.

    Raises:
        UnsupportedRequestError: for the first kwarg that cannot be used.
    """
    for name, value in given.items():
        path = f"{field}.{name}"
        if name in refused:
            raise UnsupportedRequestError(f"{path} is not available here: {refused[name]}", field=path)
        if name not in accepted:
            raise UnsupportedRequestError(_unknown(name, accepted, path, owner), field=path)
        problem = _problem(value, accepted[name])
        if problem:
            raise UnsupportedRequestError(f"{path} {problem}", field=path)
    for name, kwarg in accepted.items():
        if kwarg.required and name not in given:
            raise UnsupportedRequestError(f"{owner} needs {field}.{name}", field=f"{field}.{name}")


def with_defaults(given: Mapping[str, JsonValue], accepted: Mapping[str, Kwarg]) -> dict[str, JsonValue]:
    """Return what the callee will see: the defaults, overridden by what was given."""
    return {**{name: kwarg.default for name, kwarg in accepted.items()}, **given}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known name that is most like ``name``, or nothing."""
    folded = {each.casefold(): each for each in reversed(list(known))}  # of names that differ in case, the first
    matches = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[matches[0]]!r}?" if matches else ""


def _unknown(name: str, accepted: Mapping[str, Kwarg], path: str, owner: str) -> str:
    hint = nearest(name, accepted)
    known = ", ".join(sorted(accepted)) or "none"
    return f"{owner} does not know {path}{hint or f'; it accepts: {known}'}"


def _problem(value: JsonValue, kwarg: Kwarg) -> str | None:
    if value is None:
        return None if kwarg.nullable else f"must be {_article(kwarg.kind)}, not null"
    if not _has_kind(value, kwarg.kind):
        wanted = _article(kwarg.kind) + (" or null" if kwarg.nullable else "")
        return f"must be {wanted}, not {_json_name(value)}"
    if kwarg.choices and value not in kwarg.choices:
        return "must be one of " + ", ".join(repr(choice) for choice in kwarg.choices)
    return _out_of_bounds(value, kwarg)


def _out_of_bounds(value: JsonValue, kwarg: Kwarg) -> str | None:
    if not isinstance(value, int | float):
        return None
    if kwarg.minimum is not None and value < kwarg.minimum:
        return f"must be at least {kwarg.minimum:g}"
    if kwarg.maximum is not None and value > kwarg.maximum:
        return f"must be at most {kwarg.maximum:g}"
    return None


def _has_kind(value: JsonValue, kind: KwargKind) -> bool:
    if isinstance(value, bool):  # Python calls True an integer, JSON does not
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _json_name(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "a boolean"
    kinds: tuple[KwargKind, ...] = ("integer", "number", "string", "object", "array")
    return next(_article(kind) for kind in kinds if _has_kind(value, kind))


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
