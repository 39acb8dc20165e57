"""A thread that owns its connections: SQLite's calls block, and each connection stays where it was opened."""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dspy_service.adapters.sqlite_search.matrix import Matrix
from dspy_service.adapters.sqlite_search.schema import open_file
from dspy_service.domain.errors import StoreUnavailableError

T = TypeVar("T")


@dataclass
class OpenFile:
    """One file as this thread has it open."""

    connection: sqlite3.Connection
    matrix: Matrix


class FileThread:
    """Does one piece of work after the other, each in a transaction of its own.

    Args:
        name: Of the thread.
        tables: What a new file gets.
        keep_open: Files that stay open, with what of them is in memory; the one that was used last goes last.
    """

    def __init__(self, name: str, tables: str, *, keep_open: int = 16) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._tables = tables
        self._keep_open = keep_open
        self._files: OrderedDict[Path, OpenFile] = OrderedDict()

    async def read(self, path: Path, work: Callable[[OpenFile], T]) -> T:
        """Return what ``work`` reads of one committed state of the file."""
        return await self._do(path, "BEGIN", work)

    async def write(self, path: Path, work: Callable[[OpenFile], T]) -> T:
        """Commit what ``work`` does, or nothing when it raises; returns after the commit."""
        return await self._do(path, "BEGIN IMMEDIATE", work)

    async def close(self, path: Path) -> None:
        """Close one file."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._close, path)

    async def aclose(self) -> None:
        """End what was begun, and close all."""
        for path in [*self._files]:
            await self.close(path)
        await asyncio.to_thread(self._executor.shutdown)

    async def _do(self, path: Path, begin: str, work: Callable[[OpenFile], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transact, path, begin, work)

    def _transact(self, path: Path, begin: str, work: Callable[[OpenFile], T]) -> T:
        try:
            file = self._opened(path)
            file.connection.execute(begin)
            try:
                result = work(file)
                file.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a failed disk; the first error says more
                    file.connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            self._close(path)
            raise StoreUnavailableError("search index", reason=str(error)) from error
        return result

    def _opened(self, path: Path) -> OpenFile:
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[path] = OpenFile(open_file(path, self._tables), Matrix())
        self._files.move_to_end(path)
        while len(self._files) > self._keep_open:
            self._close(next(iter(self._files)))
        return file

    def _close(self, path: Path) -> None:
        file = self._files.pop(path, None)
        if file is not None:
            file.connection.close()
