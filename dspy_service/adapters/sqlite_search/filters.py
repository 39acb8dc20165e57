"""Filters as conditions of SQL; names and values are bound, never written."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dspy_service.domain.search.documents import RESERVED_FIELDS
from dspy_service.domain.search.errors import UnknownFilterFieldError
from dspy_service.domain.search.query import Filter, Scalar


class Condition(NamedTuple):
    """A piece of SQL behind ``WHERE …`` about the chunk ``c``, and what it binds; empty without filters."""

    sql: str
    values: tuple[Scalar, ...]


def condition_of(connection: sqlite3.Connection, filters: Iterable[Filter]) -> Condition:
    """Return what a chunk's document must fulfil: all filters.

    Raises:
        UnknownFilterFieldError: no document has the field.
    """
    parts, values = [], list[Scalar]()
    for each in filters:
        _check_known(connection, each.field)
        tests = [*_tests(each)]
        tested = " AND ".join(sql for sql, _ in tests)
        parts.append(f"AND c.document IN (SELECT document FROM fields WHERE name = ? AND {tested})")  # noqa: S608 - ours
        values += [each.field, *(value for _, bound in tests for value in bound)]
    return Condition(" ".join(parts), tuple(values))


def _tests(each: Filter) -> Iterator[tuple[str, list[Scalar]]]:
    if each.any_of is not None:
        yield f"value IN ({', '.join('?' * len(each.any_of))})", each.any_of
    for bound, sign in ((each.at_least, ">="), (each.at_most, "<=")):
        if bound is not None:  # SQLite would put every text above every number
            kinds = "('text')" if isinstance(bound, str) else "('integer', 'real')"
            yield f"value {sign} ? AND typeof(value) IN {kinds}", [bound]


def _check_known(connection: sqlite3.Connection, field: str) -> None:
    if field in RESERVED_FIELDS:
        return
    if connection.execute("SELECT 1 FROM fields WHERE name = ? LIMIT 1", (field,)).fetchone() is None:
        known = {row[0] for row in connection.execute("SELECT DISTINCT name FROM fields")}
        raise UnknownFilterFieldError(field, known | RESERVED_FIELDS)
