"""Moves the names that callers use, from where the mover saw them and from nowhere else."""

from dataclasses import dataclass

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.serving.errors import AliasMovedError, ProgramNotFoundError
from dspy_service.domain.serving.program import PRODUCTION, Alias
from dspy_service.ports.serving.programs import ProgramStore


@dataclass(frozen=True)
class Seen:
    """Where the caller says that the alias stands."""

    revision: int | None = None
    """None: anywhere; 0: there must be no such alias yet."""
    must_exist: bool = False
    """There must be one, at any revision; with revision 0 nothing is right."""


ANYWHERE = Seen()
NOWHERE = Seen(revision=-1)


async def find_alias(name: str, alias: str, *, tenant: str, programs: ProgramStore) -> Alias:
    """Return an alias, or raise ProgramNotFoundError."""
    program = await programs.program(tenant, name)
    for each in program.aliases:
        if each.name == alias:
            return each
    raise ProgramNotFoundError(f"{name}@{alias}")


async def move_alias(
    name: str, alias: str, version: int, *, tenant: str, programs: ProgramStore, seen: Seen = ANYWHERE
) -> Alias:
    """Point an alias at a version. Raises as ``ProgramStore.move_alias``."""
    revision = await _revision(name, alias, seen, tenant, programs)
    return await programs.move_alias(tenant, name, alias, version=version, if_revision=revision)


async def roll_back(name: str, alias: str, *, tenant: str, programs: ProgramStore, seen: Seen = ANYWHERE) -> Alias:
    """Point an alias at the version that it named before. Raises as ``ProgramStore.roll_back``."""
    revision = await _revision(name, alias, seen, tenant, programs)
    return await programs.roll_back(tenant, name, alias, if_revision=revision)


async def delete_alias(name: str, alias: str, *, tenant: str, programs: ProgramStore, seen: Seen = ANYWHERE) -> None:
    """Forget an alias. Raises as ``ProgramStore.delete_alias``, and UnsupportedRequestError for ``production``."""
    if alias == PRODUCTION:
        message = f"{PRODUCTION} is what the bare name of a program means; move it, or roll it back"
        raise UnsupportedRequestError.of("alias", message)
    revision = await _revision(name, alias, seen, tenant, programs)
    await programs.delete_alias(tenant, name, alias, if_revision=revision)


async def _revision(name: str, alias: str, seen: Seen, tenant: str, programs: ProgramStore) -> int | None:
    """Turn "there must be one" into the revision of now; a move in between is noticed."""
    if not seen.must_exist:
        return seen.revision
    program = await programs.program(tenant, name)
    revision = next((each.revision for each in program.aliases if each.name == alias), 0)
    if revision == 0 or seen.revision == 0:
        raise AliasMovedError(alias, revision)
    return revision
