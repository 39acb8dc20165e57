"""Who calls, as the first argument of a route: admitted, and with the scope that the route needs."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dspy_service.api.gate import Gate
from dspy_service.domain.caller_errors import ScopeMissingError
from dspy_service.domain.keys import Caller, Scope

_bearer = HTTPBearer(
    scheme_name="ApiKey",
    bearerFormat="dsk_<id>.<secret>",
    description="Made with `dspy-service keys create` or `POST /v1/keys`. Not needed while no key exists (open mode).",
    auto_error=False,  # the answer is ours to make
)

_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class CallerWith:
    """A dependency that admits callers with one scope, or with any one of several.

    Name it before the other arguments of a route: what stands first is checked first, and a stranger hears nothing
    about ids.
    """

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    async def __call__(self, request: Request, credentials: _Credentials) -> Caller:
        """Return the caller. Raises what the gate raises, and ScopeMissingError."""
        caller = await _gate(request).admit(request, _token(credentials))
        if caller.scopes.isdisjoint(self._scopes):
            raise ScopeMissingError("' or '".join(self._scopes))
        return caller


async def _known(request: Request, credentials: _Credentials) -> Caller | None:
    return await _gate(request).recognize(request, _token(credentials))


def _gate(request: Request) -> Gate:
    gate: Gate = request.app.state.gate
    return gate


def _token(credentials: HTTPAuthorizationCredentials | None) -> str | None:
    return None if credentials is None else credentials.credentials


JobsWriter = Annotated[Caller, Depends(CallerWith(Scope.JOBS_WRITE))]
JobsReader = Annotated[Caller, Depends(CallerWith(Scope.JOBS_READ))]
ArtifactsReader = Annotated[Caller, Depends(CallerWith(Scope.ARTIFACTS_READ))]
Invoker = Annotated[Caller, Depends(CallerWith(Scope.SERVE_INVOKE))]
ProgramsReader = Annotated[Caller, Depends(CallerWith(Scope.SERVE_INVOKE, Scope.JOBS_READ))]
Admin = Annotated[Caller, Depends(CallerWith(Scope.ADMIN))]

KnownCaller = Annotated[Caller | None, Depends(_known)]
"""For public routes, which tell more to those they know."""
