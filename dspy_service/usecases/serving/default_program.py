"""Finds the program that is meant where a path names none, as ``POST /predict`` does."""

from dspy_service.domain.serving.errors import NoDefaultProgramError
from dspy_service.domain.serving.program import ProgramVersion
from dspy_service.ports.serving.programs import ProgramStore
from dspy_service.usecases.serving.resolve_program import resolve_program


async def default_program(reference: str, *, tenant: str, programs: ProgramStore) -> ProgramVersion:
    """Return the version that ``reference`` names; without one, ``production`` of the tenant's only program.

    Raises:
        NoDefaultProgramError: there is none, or there are several.
        ProgramNotFoundError: ``reference`` names none of this tenant's.
        ProgramVersionRetiredError: as ``resolve_program``.
    """
    if reference:
        return await resolve_program(reference, tenant=tenant, programs=programs)
    found, _ = await programs.programs(tenant, limit=2)
    if len(found) != 1:
        raise NoDefaultProgramError(has_several=bool(found))
    return await resolve_program(found[0].name, tenant=tenant, programs=programs)
