"""The served programs in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dspy_service.domain.errors import IdempotencyKeyReusedError
from dspy_service.domain.serving.errors import (
    AliasMovedError,
    NothingToRollBackError,
    ProgramNotFoundError,
    ProgramVersionInUseError,
    ProgramVersionRetiredError,
)
from dspy_service.domain.serving.program import PRODUCTION, Alias, NewVersion, Program, ProgramVersion

if TYPE_CHECKING:
    from dspy_service.ports.serving.programs import ProgramStore


@dataclass
class _Record:
    """One program with everything under it."""

    created_at: datetime
    versions: dict[int, ProgramVersion] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)
    moves: int = 0
    deploys: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Idempotency key to the version and digest that it stands for."""


class MemoryProgramStore:
    """Programs of one process; ``clock`` may be any function that returns UTC times."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._records: dict[tuple[str, str], _Record] = {}

    async def add_version(self, new: NewVersion, *, idempotency_key: str | None = None) -> tuple[ProgramVersion, bool]:
        """Record a version under the next number, and the program when it is the first."""
        now = self._clock()
        record = self._records.get((new.tenant, new.program)) or _Record(created_at=now)
        earlier = record.deploys.get(idempotency_key or "")
        if earlier is not None:
            number, digest = earlier
            if digest != new.digest:
                raise IdempotencyKeyReusedError(idempotency_key or "")
            return record.versions[number], False
        newest = record.versions.get(len(record.versions))
        if newest is not None and newest.digest == new.digest and newest.status == "active":
            return newest, False
        number = len(record.versions) + 1
        version = ProgramVersion.model_validate({**dict(new), "version": number, "created_at": now})
        record.versions[number] = version
        self._records[new.tenant, new.program] = record
        if idempotency_key is not None:
            record.deploys[idempotency_key] = (number, new.digest)
        if number == 1:
            self._put(record, PRODUCTION, 1, previous=None)
        return version, True

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
        for alias in sorted(record.aliases):
            if record.aliases[alias].version == version:
                raise ProgramVersionInUseError(name, version, alias)
        record.versions[version] = found.model_copy(update={"status": "retired"})
        return record.versions[version]

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
            latest_version=len(record.versions),
            aliases=aliases,
        )


def _at(record: _Record, alias: str, if_revision: int | None) -> Alias | None:
    """Return an alias that must stand at a revision. Raises AliasMovedError."""
    now = record.aliases.get(alias)
    revision = 0 if now is None else now.revision
    if if_revision is not None and if_revision != revision:
        raise AliasMovedError(alias, revision)
    return now


if TYPE_CHECKING:
    _proof: ProgramStore = MemoryProgramStore()
