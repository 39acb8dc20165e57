"""One batch into a collection's file, within one transaction."""

import json
import sqlite3
from collections.abc import Iterable

from dspy_service.domain.search.documents import Batch, BatchResult, IndexedDocument
from dspy_service.domain.search.errors import BatchIdReusedError
from dspy_service.domain.search.filtering import fields_of

_REST = {"authors", "year", "metadata"}


def write_batch(connection: sqlite3.Connection, batch: Batch) -> BatchResult:
    """Make the changes, unless they were made before.

    Raises:
        BatchIdReusedError: the id stands for other changes.
    """
    digest = batch.digest()
    done = connection.execute("SELECT digest, result FROM batches WHERE id = ?", (batch.id,)).fetchone()
    if done is not None:
        if done[0] != digest:
            raise BatchIdReusedError(batch.id)
        return BatchResult.model_validate_json(done[1])
    deleted = _delete(connection, batch.deletes)
    replaced = sum(_put(connection, each) for each in batch.upserts)
    result = BatchResult(added=len(batch.upserts) - replaced, replaced=replaced, deleted=deleted)
    connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (batch.id, digest, result.model_dump_json()))
    connection.execute("UPDATE state SET revision = revision + 1")
    return result


def _delete(connection: sqlite3.Connection, ids: Iterable[str]) -> int:
    deleted = 0
    for document_id in ids:
        number = _number_of(connection, document_id)
        if number is not None:
            _forget_chunks(connection, number)
            connection.execute("DELETE FROM documents WHERE number = ?", (number,))
            deleted += 1
    return deleted


def _put(connection: sqlite3.Connection, new: IndexedDocument) -> bool:
    """Write one document with its chunks; tell whether it took the place of another."""
    document = new.document
    rest = json.dumps(document.model_dump(mode="json", include=_REST), ensure_ascii=False)
    number = _number_of(connection, document.id)
    is_there = number is not None
    if is_there:
        _forget_chunks(connection, number)
        connection.execute(
            "UPDATE documents SET title = ?, text = ?, rest = ? WHERE number = ?",
            (document.title, document.text, rest, number),
        )
    else:
        number = connection.execute(
            "INSERT INTO documents(id, title, text, rest) VALUES (?, ?, ?, ?)",
            (document.id, document.title, document.text, rest),
        ).lastrowid
    connection.executemany(
        "INSERT INTO fields VALUES (?, ?, ?)", ((number, name, value) for name, value in fields_of(document))
    )
    _put_chunks(connection, number, new)
    return is_there


def _put_chunks(connection: sqlite3.Connection, number: int | None, new: IndexedDocument) -> None:
    for place, span in enumerate(new.chunks):
        chunk = connection.execute(
            "INSERT INTO chunks(document, start, stop) VALUES (?, ?, ?)", (number, span.start, span.end)
        ).lastrowid
        if new.vectors is not None:
            connection.execute("INSERT INTO vectors VALUES (?, ?)", (chunk, new.vectors[place]))
    connection.execute(
        "INSERT INTO words(rowid, title, text) SELECT number, title, text FROM chunk_texts WHERE document = ?",
        (number,),
    )


def _forget_chunks(connection: sqlite3.Connection, number: int | None) -> None:
    # The index of words forgets by the text that it was given: before the text changes.
    connection.execute(
        "INSERT INTO words(words, rowid, title, text) "
        "SELECT 'delete', number, title, text FROM chunk_texts WHERE document = ?",
        (number,),
    )
    connection.execute("DELETE FROM vectors WHERE chunk IN (SELECT number FROM chunks WHERE document = ?)", (number,))
    connection.execute("DELETE FROM chunks WHERE document = ?", (number,))
    connection.execute("DELETE FROM fields WHERE document = ?", (number,))


def _number_of(connection: sqlite3.Connection, document_id: str) -> int | None:
    row = connection.execute("SELECT number FROM documents WHERE id = ?", (document_id,)).fetchone()
    return None if row is None else int(row[0])
