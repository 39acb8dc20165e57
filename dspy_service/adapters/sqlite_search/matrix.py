"""All vectors of a collection in memory, in step with its file."""

import sqlite3
from typing import Final

import numpy as np
import numpy.typing as npt

from dspy_service.domain.search.vectors import Vector

_FLOATS: Final = np.dtype("<f4")


class Matrix:
    """Vectors of one file; exact, since a product with 200 000 of them is faster than an index is worth."""

    def __init__(self) -> None:
        self._revision = 0
        self._newest_chunk = 0
        self._chunks: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._rows: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Follow the file's revision, whoever wrote it: drop chunks that have gone, load those that are new."""
        revision = int(connection.execute("SELECT revision FROM state").fetchone()[0])
        if revision == self._revision:
            return
        left = np.fromiter((row[0] for row in connection.execute("SELECT number FROM chunks")), np.int64)
        keeps = np.isin(self._chunks, left)
        new = connection.execute(
            "SELECT chunk, vector FROM vectors WHERE chunk > ? ORDER BY chunk", (self._newest_chunk,)
        ).fetchall()
        chunks, rows = self._chunks[keeps], self._rows[keeps]
        if new:
            loaded = np.frombuffer(b"".join(row[1] for row in new), _FLOATS).reshape(len(new), -1)
            rows = np.concatenate([rows, loaded]) if len(rows) else loaded
            chunks = np.concatenate([chunks, np.array([row[0] for row in new], np.int64)])
            self._newest_chunk = new[-1][0]
        self._chunks, self._rows, self._revision = chunks, rows, revision

    def nearest(self, vector: Vector, depth: int, allowed: list[int] | None) -> list[tuple[int, float]]:
        """Return the ``depth`` chunks of the highest cosine, best first; of the allowed ones, unless None."""
        chunks, rows = self._chunks, self._rows
        if allowed is not None:
            passes = np.isin(chunks, np.array(allowed, np.int64))
            chunks, rows = chunks[passes], rows[passes]
        if not len(chunks):
            return []
        scores = rows @ np.frombuffer(vector, _FLOATS)
        depth = min(depth, len(chunks))
        best = np.argpartition(-scores, depth - 1)[:depth]
        best = best[np.lexsort((chunks[best], -scores[best]))]
        return [(int(chunks[each]), float(scores[each])) for each in best]

    def similarity(self, one: int, other: int) -> float:
        """Return the cosine of two chunks that are there."""
        places = np.searchsorted(self._chunks, [one, other])
        return float(self._rows[places[0]] @ self._rows[places[1]])
