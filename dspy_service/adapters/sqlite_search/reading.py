"""What a search looks up in a collection's file, within one transaction."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from dspy_service.adapters.sqlite_search.file_thread import OpenFile
from dspy_service.adapters.sqlite_search.filters import Condition, condition_of
from dspy_service.adapters.sqlite_search.match import match_of
from dspy_service.domain.search.collection import CollectionStats
from dspy_service.domain.search.documents import RESERVED_FIELDS, Document, Span
from dspy_service.domain.search.hits import SearchAnswer
from dspy_service.domain.search.query import SearchQuery
from dspy_service.domain.search.ranking import Candidate, Plan, Ranked, answer, rank

_TITLE_WEIGHT = 2.0


def search(file: OpenFile, query: SearchQuery, plan: Plan) -> SearchAnswer:
    """Find, rank and fetch.

    Raises:
        UnknownFilterFieldError: no document has a field that a filter names.
    """
    condition = condition_of(file.connection, query.filters)
    if plan.vector is not None or query.diversity > 0:
        file.matrix.refresh(file.connection)
    ranked = rank(
        query,
        by_words=_by_words(file.connection, query, plan, condition) if plan.words else [],
        by_vectors=_by_vectors(file, plan, condition),
        similarity=file.matrix.similarity,
    )
    return answer(query, ranked, _fetch(file.connection, ranked))


def _by_words(connection: sqlite3.Connection, query: SearchQuery, plan: Plan, condition: Condition) -> list[Candidate]:
    rows = connection.execute(
        "SELECT d.id, c.number, -words.rank FROM words "  # noqa: S608 - the condition is ours, its values are bound
        "JOIN chunks c ON c.number = words.rowid JOIN documents d ON d.number = c.document "
        f"WHERE words MATCH ? AND rank MATCH 'bm25({_TITLE_WEIGHT}, 1.0)' {condition.sql} ORDER BY rank LIMIT ?",
        (match_of(plan.words, query.field), *condition.values, plan.depth),
    )
    return [Candidate(*row) for row in rows]


def _by_vectors(file: OpenFile, plan: Plan, condition: Condition) -> list[Candidate]:
    if plan.vector is None:
        return []
    allowed = None
    if condition.sql:
        sql = f"SELECT c.number FROM chunks c WHERE 1 {condition.sql}"  # noqa: S608 - likewise
        allowed = [row[0] for row in file.connection.execute(sql, condition.values)]
    nearest = file.matrix.nearest(plan.vector, plan.depth, allowed)
    owners = dict(
        _where_in(
            file.connection,
            "SELECT c.number, d.id FROM chunks c JOIN documents d ON d.number = c.document WHERE c.number IN",
            [chunk for chunk, _ in nearest],
        )
    )
    return [Candidate(owners[chunk], chunk, score) for chunk, score in nearest]


def _fetch(connection: sqlite3.Connection, ranked: Ranked) -> list[tuple[Document, Span]]:
    rows = _where_in(
        connection,
        "SELECT d.id, d.title, d.text, d.rest, c.start, c.stop FROM chunks c "
        "JOIN documents d ON d.number = c.document WHERE c.number IN",
        [ranked.chunks[name] for name, _ in ranked.ids],
    )
    found = {row[0]: (_document(row), Span(start=row[4], end=row[5])) for row in rows}
    return [found[name] for name, _ in ranked.ids]


def documents(file: OpenFile, ids: Sequence[str]) -> list[Document]:
    """Return the documents of these ids in this order, without those that are not there."""
    rows = _where_in(file.connection, "SELECT id, title, text, rest FROM documents WHERE id IN", ids)
    found = {row[0]: _document(row) for row in rows}
    return [found[each] for each in ids if each in found]


def stats(file: OpenFile) -> CollectionStats:
    """Count what the file holds."""
    counts = file.connection.execute(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks), revision, page_count * page_size "
        "FROM state, pragma_page_count, pragma_page_size"
    ).fetchone()
    fields: dict[str, set[str]] = {name: set() for name in RESERVED_FIELDS}
    for name, kind in file.connection.execute("SELECT DISTINCT name, typeof(value) FROM fields"):
        fields.setdefault(name, set()).add("text" if kind == "text" else "number")
    return CollectionStats.model_validate(
        {
            **dict(zip(("documents", "chunks", "revision", "stored_bytes"), counts, strict=True)),
            "fields": {name: sorted(kinds) for name, kinds in sorted(fields.items())},
        }
    )


def _where_in(connection: sqlite3.Connection, select: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """Return the rows whose last named column is one of the values, however many there are."""
    sql = f"{select} (SELECT value FROM json_each(?))"  # noqa: S608 - the text is ours, the values are bound
    return connection.execute(sql, (json.dumps(values),)).fetchall()


def _document(row: Sequence[object]) -> Document:
    """Make a document of its id, title, text and the rest; it was checked when it was written."""
    return Document.model_validate({"id": row[0], "title": row[1], "text": row[2], **json.loads(str(row[3]))})
