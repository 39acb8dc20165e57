"""The tables of a collection's file and of the catalogue, and how such a file is opened."""

import sqlite3
from pathlib import Path
from typing import Final

from dspy_service.domain.errors import ConfigurationError

_SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 10.0  # as long as a writer of another process may take for its batch
_CACHE_KIB: Final = 16 * 1024

CATALOGUE: Final = """
CREATE TABLE collections(
  tenant TEXT NOT NULL, name TEXT NOT NULL, collection_id TEXT NOT NULL, record TEXT NOT NULL,
  PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
"""

COLLECTION: Final = """
CREATE TABLE state(revision INTEGER NOT NULL);
INSERT INTO state VALUES (0);
CREATE TABLE batches(id TEXT PRIMARY KEY, digest TEXT NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, text TEXT NOT NULL, rest TEXT NOT NULL
);
-- A number is never given twice, so that a reader knows its new chunks by their numbers.
CREATE TABLE chunks(
  number INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL
);
CREATE INDEX chunks_of_document ON chunks(document);
CREATE TABLE vectors(chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE fields(document INTEGER NOT NULL, name TEXT NOT NULL, value NOT NULL);
CREATE INDEX fields_by_value ON fields(name, value, document);
CREATE INDEX fields_of_document ON fields(document);
CREATE VIEW chunk_texts AS
  SELECT c.number, c.document, d.title, substr(d.text, c.start + 1, c.stop - c.start) AS text
  FROM chunks c JOIN documents d ON d.number = c.document;
CREATE VIRTUAL TABLE words USING fts5(
  title, text, content='chunk_texts', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2'
);
"""


def open_file(path: Path, tables: str) -> sqlite3.Connection:
    """Open a file, and make its tables when it is new; for the calling thread only.

    Transactions are begun and ended by hand. What was committed survives a loss of power.

    Raises:
        ConfigurationError: a newer release has written it.
    """
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, path, tables)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, tables: str) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if _version(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection) == 0:  # nobody else was faster
            for statement in tables.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.execute("COMMIT")
    if _version(connection) > _SCHEMA_VERSION:
        message = f"{path.name} was written by a newer release of the service; use that one, or another folder."
        raise ConfigurationError(message)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
