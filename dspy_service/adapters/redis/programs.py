"""The served programs on Redis; ``key_names`` says where."""

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from dspy_service.adapters.redis.client import RedisClient
from dspy_service.adapters.redis.key_names import PROGRAM, program_key, programs_key
from dspy_service.adapters.redis.records import from_micros, to_micros
from dspy_service.adapters.version_record import (
    DELETE_SECONDS,
    FILES_LEAVE,
    IDEMPOTENCY_SECONDS,
    NOTE_SECONDS,
    NUMBERS_SECONDS,
)
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
from dspy_service.domain.serving.program import Alias, NewVersion, Program, ProgramVersion

if TYPE_CHECKING:
    from dspy_service.ports.serving.programs import ProgramStore

_ALIAS = "alias:"


class RedisProgramStore:
    """Programs in the Redis (or Valkey) at ``url``.

    A call that writes draws a random text, which stands beside what it wrote: a script that is sent again because its
    answer was lost finds it, and answers as it did the first time.
    """

    def __init__(self, url: str) -> None:
        self._client = RedisClient(url)

    async def add_version(
        self, new: NewVersion, *, idempotency_key: str | None = None, max_programs: int = 0, max_versions: int = 0
    ) -> tuple[ProgramVersion, bool]:
        """Record a version under the next number, and the program when it is the first."""
        keys = [program_key(new.tenant, new.program), programs_key(new.tenant)]
        if idempotency_key is not None:
            keys.append(f"{keys[0]}:idem:{idempotency_key}")
        what = (new.program, new.digest, new.model_dump_json(), _call())
        args = (*what, IDEMPOTENCY_SECONDS, max_programs, max_versions)
        kind, *rest = await self._client.run("programs/add", keys=keys, args=args)
        if kind == "conflict":
            raise IdempotencyKeyReusedError(idempotency_key or "")
        if kind == "full":
            raise LimitReachedError(rest[0], max_programs if rest[0] == "programs" else max_versions)
        if kind == "leaving":
            raise StoreUnavailableError("folder of the version", reason=FILES_LEAVE)
        return _version(rest[0], rest[1]), kind == "created"

    async def program(self, tenant: str, name: str) -> Program:
        """Return a program, or raise ProgramNotFoundError."""
        record = await self._client.command("HGETALL", program_key(tenant, name))
        if not record:
            raise ProgramNotFoundError(name)
        return _program(tenant, name, record)

    async def programs(self, tenant: str, *, after: str | None = None, limit: int = 20) -> tuple[list[Program], bool]:
        """Return programs by name, and whether there are more."""
        args = (after or "", limit, f"{PROGRAM}{tenant}:")
        found = await self._client.run("programs/page", keys=[programs_key(tenant)], args=args)
        return [_program(tenant, name, _paired(record)) for name, record in found[:limit]], len(found) > limit

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Return one version, or raise ProgramNotFoundError."""
        record = await self._client.command("HGETALL", f"{program_key(tenant, name)}:v:{version}")
        if not record:
            raise ProgramNotFoundError(f"{name}@v{version}")
        return _version(version, record)

    async def versions(
        self, tenant: str, name: str, *, before: int | None = None, limit: int = 20
    ) -> tuple[list[ProgramVersion], bool]:
        """Return versions, newest first, and whether there are older ones."""
        found = await self._client.run("programs/versions", keys=[program_key(tenant, name)], args=(before or 0, limit))
        if found is None:
            raise ProgramNotFoundError(name)
        return [_version(number, record) for number, record in found[:limit]], len(found) > limit

    async def move_alias(
        self, tenant: str, name: str, alias: str, *, version: int, if_revision: int | None = None
    ) -> Alias:
        """Point an alias at an active version, a new alias where there is none."""
        args = (alias, version, _revision(if_revision), _call())
        kind, *rest = await self._client.run("programs/move_alias", keys=[program_key(tenant, name)], args=args)
        if kind == "absent":
            raise ProgramNotFoundError(f"{name}@v{version}")
        return _moved(name, alias, kind, [version] if kind == "retired" else rest)

    async def roll_back(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> Alias:
        """Point an alias at the version that it named before."""
        args = (alias, _revision(if_revision), _call())
        kind, *rest = await self._client.run("programs/roll_back", keys=[program_key(tenant, name)], args=args)
        return _moved(name, alias, kind, rest)

    async def delete_alias(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> None:
        """Forget an alias."""
        args = (alias, _revision(if_revision), _call(), DELETE_SECONDS)
        kind, *rest = await self._client.run("programs/delete_alias", keys=[program_key(tenant, name)], args=args)
        if kind != "gone":
            _refuse(name, alias, kind, rest)

    async def retire(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Let no new run use a version."""
        kind, *rest = await self._client.run("programs/retire", keys=[program_key(tenant, name)], args=[version])
        if kind == "absent":
            raise ProgramNotFoundError(f"{name}@v{version}")
        if kind == "in use":
            raise ProgramVersionInUseError(name, version, rest[0])
        return _version(version, rest[0])

    async def delete_version(self, tenant: str, name: str, version: int) -> None:
        """Forget a retired version."""
        args = (version, _call(), DELETE_SECONDS)
        kind, *rest = await self._client.run("programs/delete_version", keys=[program_key(tenant, name)], args=args)
        if kind == "absent":
            raise ProgramNotFoundError(f"{name}@v{version}")
        if kind == "in use":
            raise ProgramVersionInUseError(name, version, rest[0])
        if kind == "active":
            raise ProgramVersionActiveError(name, version)

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a program with its versions."""
        keys = [program_key(tenant, name), programs_key(tenant)]
        kind, *rest = await self._client.run("programs/delete", keys=keys, args=(name, _call(), NUMBERS_SECONDS))
        if kind == "absent":
            raise ProgramNotFoundError(name)
        if kind == "in use":
            raise ProgramInUseError(name, rest[0])

    async def leave(self, tenant: str, name: str, digest: str, *, unnamed_seconds: float) -> str | None:
        """Say whether files with this digest may be deleted now."""
        call = _call()
        args = (digest, to_micros(unnamed_seconds), call, DELETE_SECONDS, NOTE_SECONDS)
        return call if await self._client.run("programs/leave", keys=[program_key(tenant, name)], args=args) else None

    async def forget_left(self, tenant: str, name: str, digest: str, *, told: str) -> None:
        """Say that they are gone."""
        await self._client.run("programs/forget_left", keys=[program_key(tenant, name)], args=(digest, told))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _call() -> str:
    return secrets.token_hex(8)


def _revision(wanted: int | None) -> str | int:
    return "" if wanted is None else wanted


def _moved(name: str, alias: str, kind: str, rest: Sequence[Any]) -> Alias:
    if kind != "stands":
        _refuse(name, alias, kind, rest)
    return _alias(alias, rest[0])


def _refuse(name: str, alias: str, kind: str, rest: Sequence[Any]) -> None:
    """Raise the error that a script's answer stands for."""
    if kind == "retired":
        raise ProgramVersionRetiredError(name, rest[0])
    if kind == "elsewhere":
        raise AliasMovedError(alias, rest[0])
    if kind == "first":
        raise NothingToRollBackError(alias)
    raise ProgramNotFoundError(f"{name}@{alias}")


def _alias(name: str, text: str) -> Alias:
    version, previous, revision, moved, _call_of_it = text.split(" ")
    return Alias(
        name=name,
        version=int(version),
        previous_version=int(previous) or None,
        revision=int(revision),
        moved_at=from_micros(moved),
    )


def _program(tenant: str, name: str, record: Mapping[str, str]) -> Program:
    aliases = sorted(field.removeprefix(_ALIAS) for field in record if field.startswith(_ALIAS))
    return Program(
        name=name,
        tenant=tenant,
        created_at=from_micros(record["created"]),
        latest_version=int(record["latest"]),
        aliases=[_alias(alias, record[_ALIAS + alias]) for alias in aliases],
    )


def _version(number: int, record: Mapping[str, str] | Sequence[str]) -> ProgramVersion:
    fields = record if isinstance(record, Mapping) else _paired(record)
    version: dict[str, Any] = pydantic_core.from_json(fields["fixed"])
    version |= {"version": number, "status": fields["status"], "created_at": from_micros(fields["created"])}
    return ProgramVersion.model_validate_json(pydantic_core.to_json(version))


def _paired(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


if TYPE_CHECKING:
    _proof: ProgramStore = RedisProgramStore("redis://")
