"""Finds the version that a caller means by ``name``, ``name@alias``, ``name@v3`` or ``name@3``."""

import re

from dspy_service.domain.serving.errors import ProgramNotFoundError, ProgramVersionRetiredError
from dspy_service.domain.serving.program import PRODUCTION, ProgramVersion
from dspy_service.ports.serving.programs import ProgramStore

_REFERENCE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]{0,62})"
    r"(?:@(?:v?(?P<version>[1-9][0-9]{0,8})|(?P<alias>[a-z][a-z0-9._-]{0,62})))?"
)


async def resolve_program(reference: str, *, tenant: str, programs: ProgramStore) -> ProgramVersion:
    """Return the version, which takes new runs; a bare name means ``production``.

    Raises:
        ProgramNotFoundError: this tenant has no such program, version or alias, or the reference is malformed.
        ProgramVersionRetiredError: the version is named by its number, and takes no new runs.
    """
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise ProgramNotFoundError(reference)
    name = parts["name"]
    if parts["version"] is not None:
        found = await programs.version(tenant, name, int(parts["version"]))
    else:
        found = await _behind_alias(reference, name, parts["alias"] or PRODUCTION, tenant, programs)
    if found.status == "retired":
        raise ProgramVersionRetiredError(name, found.version)
    return found


async def _behind_alias(reference: str, name: str, alias: str, tenant: str, programs: ProgramStore) -> ProgramVersion:
    program = await programs.program(tenant, name)
    for each in program.aliases:
        if each.name == alias:
            return await programs.version(tenant, name, each.version)
    raise ProgramNotFoundError(reference)
