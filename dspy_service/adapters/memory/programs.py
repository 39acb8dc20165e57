"""The served programs in memory."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dspy_service.adapters.version_record import DELETE_SECONDS, FILES_LEAVE
from dspy_service.domain.errors import IdempotencyKeyReusedError, StoreUnavailableError
from dspy_service.domain.serving.errors import (
    AliasMovedError,
    LimitReachedError,
    NothingToRollBackError,
    ProgramInUseError,
    ProgramNotFoundError,
    ProgramVersionActiveError,
    ProgramVersionInUseError,
    ProgramVersionRetiredError,
)
from dspy_service.domain.serving.program import PRODUCTION, Alias, NewVersion, Program, ProgramVersion

if TYPE_CHECKING:
    from dspy_service.ports.serving.programs import ProgramStore


_Files = tuple[str, str, str]
"""Tenant, program and digest."""


@dataclass
class _Record:
    """One program with everything under it."""

    created_at: datetime
    versions: dict[int, ProgramVersion] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    made: int = 0
    """Number of the last version that was added."""
    moves: int = 0
    deploys: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Idempotency key to the version and digest that it stands for."""

    @property
    def latest(self) -> int:
        """Number of the newest version that was not deleted."""
        return max(self.versions, default=0)


class MemoryProgramStore:
    """Programs of one process; ``clock`` may be any function that returns UTC times."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], _Record] = {}
        self._gone: dict[tuple[str, str], _Record] = {}
        """Deleted programs, for their numbers."""
        self._left: dict[_Files, datetime] = {}
        """Since when no version names these files."""
        self._leaving: dict[_Files, tuple[str, datetime]] = {}
        """Who was told to delete them, and until when he may."""

    async def add_version(
        self, new: NewVersion, *, idempotency_key: str | None = None, max_programs: int = 0, max_versions: int = 0
    ) -> tuple[ProgramVersion, bool]:
        """Record a version under the next number, and the program when it is the first."""
        now = self._clock()
        place = (new.tenant, new.program)
        record = self._records.get(place) or self._begun(place, now)
        if earlier := _earlier(record, new, idempotency_key):
            return earlier, False
        self._require_room(place, max_programs, max_versions)
        files = (*place, new.digest)
        if self._is_leaving(files):
            raise StoreUnavailableError("folder of the version", reason=FILES_LEAVE)
        self._left.pop(files, None)
        record.made += 1
        version = ProgramVersion.model_validate({**dict(new), "version": record.made, "created_at": now})
        record.versions[record.made] = version
        self._records[place] = record
        if idempotency_key is not None:
            record.deploys[idempotency_key] = (record.made, new.digest)
        if PRODUCTION not in record.aliases:
            self._put(record, PRODUCTION, record.made, previous=None)
        return version, True

    def _begun(self, place: tuple[str, str], now: datetime) -> _Record:
        gone = self._gone.get(place)
        return _Record(now) if gone is None else _Record(now, made=gone.made, moves=gone.moves)

    def _require_room(self, place: tuple[str, str], max_programs: int, max_versions: int) -> None:
        record = self._records.get(place)
        programs = sum(tenant == place[0] for tenant, _ in self._records)
        if record is None and 0 < max_programs <= programs:
            raise LimitReachedError("programs", max_programs)
        if record is not None and 0 < max_versions <= len(record.versions):
            raise LimitReachedError("versions", max_versions)

    async def program(self, tenant: str, name: str) -> Program:
        """Return a program, or raise ProgramNotFoundError."""
        return self._program(tenant, name, self._record(tenant, name))

    async def programs(self, tenant: str, *, after: str | None = None, limit: int = 20) -> tuple[list[Program], bool]:
        """Return programs by name, and whether there are more."""
        names = sorted(name for owner, name in self._records if owner == tenant and name > (after or ""))
        found = [self._program(tenant, name, self._records[tenant, name]) for name in names[:limit]]
        return found, len(names) > limit

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Return one version, or raise ProgramNotFoundError."""
        return self._version(name, self._record(tenant, name), version)

    async def versions(
        self, tenant: str, name: str, *, before: int | None = None, limit: int = 20
    ) -> tuple[list[ProgramVersion], bool]:
        """Return versions, newest first, and whether there are older ones."""
        versions = self._record(tenant, name).versions
        numbers = [number for number in sorted(versions, reverse=True) if before is None or number < before]
        return [versions[number] for number in numbers[:limit]], len(numbers) > limit

    async def move_alias(
        self, tenant: str, name: str, alias: str, *, version: int, if_revision: int | None = None
    ) -> Alias:
        """Point an alias at an active version, a new alias where there is none."""
        record = self._record(tenant, name)
        self._require_active(name, record, version)
        now = _at(record, alias, if_revision)
        if now is not None and now.version == version:
            return now
        return self._put(record, alias, version, previous=None if now is None else now.version)

    async def roll_back(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> Alias:
        """Point an alias at the version that it named before."""
        record = self._record(tenant, name)
        now = _at(record, alias, if_revision)
        if now is None:
            raise ProgramNotFoundError(f"{name}@{alias}")
        if now.previous_version is None:
            raise NothingToRollBackError(alias)
        self._require_active(name, record, now.previous_version)
        return self._put(record, alias, now.previous_version, previous=now.version)

    async def delete_alias(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> None:
        """Forget an alias."""
        record = self._record(tenant, name)
        if _at(record, alias, if_revision) is None:
            raise ProgramNotFoundError(f"{name}@{alias}")
        del record.aliases[alias]

    async def retire(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Let no new run use a version."""
        record = self._record(tenant, name)
        found = self._version(name, record, version)
        self._require_unnamed(name, record, version)
        record.versions[version] = found.model_copy(update={"status": "retired"})
        return record.versions[version]

    async def delete_version(self, tenant: str, name: str, version: int) -> None:
        """Forget a retired version."""
        record = self._record(tenant, name)
        found = self._version(name, record, version)
        self._require_unnamed(name, record, version)
        if found.status != "retired":
            raise ProgramVersionActiveError(name, version)
        del record.versions[version]

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a program with its versions."""
        record = self._record(tenant, name)
        for alias in sorted(record.aliases):
            if alias != PRODUCTION:
                raise ProgramInUseError(name, alias)
        self._gone[tenant, name] = self._records.pop((tenant, name))

    async def leave(self, tenant: str, name: str, digest: str, *, unnamed_seconds: float) -> str | None:
        """Say whether files with this digest may be deleted now."""
        files, now = (tenant, name, digest), self._clock()
        record = self._records.get((tenant, name))
        if record is not None and any(each.digest == digest for each in record.versions.values()):
            self._left.pop(files, None)
            return None
        since = self._left.setdefault(files, now)
        if not self._is_leaving(files) and now - since < timedelta(seconds=unnamed_seconds):
            return None
        self._leaving[files] = (secrets.token_hex(8), now + timedelta(seconds=DELETE_SECONDS))
        return self._leaving[files][0]

    async def forget_left(self, tenant: str, name: str, digest: str, *, told: str) -> None:
        """Say that they are gone."""
        files = (tenant, name, digest)
        if self._is_leaving(files) and self._leaving[files][0] == told:
            del self._leaving[files]
            self._left.pop(files, None)

    def _is_leaving(self, files: _Files) -> bool:
        return files in self._leaving and self._leaving[files][1] > self._clock()

    async def aclose(self) -> None:
        """Nothing to release."""

    def _record(self, tenant: str, name: str) -> _Record:
        if (tenant, name) not in self._records:
            raise ProgramNotFoundError(name)
        return self._records[tenant, name]

    def _version(self, name: str, record: _Record, version: int) -> ProgramVersion:
        if version not in record.versions:
            raise ProgramNotFoundError(f"{name}@v{version}")
        return record.versions[version]

    def _require_active(self, name: str, record: _Record, version: int) -> None:
        if self._version(name, record, version).status == "retired":
            raise ProgramVersionRetiredError(name, version)

    def _require_unnamed(self, name: str, record: _Record, version: int) -> None:
        for alias in sorted(record.aliases):
            if record.aliases[alias].version == version:
                raise ProgramVersionInUseError(name, version, alias)

    def _put(self, record: _Record, alias: str, version: int, *, previous: int | None) -> Alias:
        record.moves += 1
        record.aliases[alias] = Alias(
            name=alias, version=version, previous_version=previous, revision=record.moves, moved_at=self._clock()
        )
        return record.aliases[alias]

    def _program(self, tenant: str, name: str, record: _Record) -> Program:
        aliases = [record.aliases[alias] for alias in sorted(record.aliases)]
        return Program(
            name=name,
            tenant=tenant,
            created_at=record.created_at,
            latest_version=record.latest,
            aliases=aliases,
        )


def _earlier(record: _Record, new: NewVersion, idempotency_key: str | None) -> ProgramVersion | None:
    """Return the version that an idempotency key stands for, or the newest one if it is just this one."""
    number, digest = record.deploys.get(idempotency_key or "", (0, ""))
    if number in record.versions:
        if digest != new.digest:
            raise IdempotencyKeyReusedError(idempotency_key or "")
        return record.versions[number]
    newest = record.versions.get(record.latest)
    return newest if newest is not None and newest.digest == new.digest and newest.status == "active" else None


def _at(record: _Record, alias: str, if_revision: int | None) -> Alias | None:
    """Return an alias that must stand at a revision. Raises AliasMovedError."""
    now = record.aliases.get(alias)
    revision = 0 if now is None else now.revision
    if if_revision is not None and if_revision != revision:
        raise AliasMovedError(alias, revision)
    return now


if TYPE_CHECKING:
    _proof: ProgramStore = MemoryProgramStore()
