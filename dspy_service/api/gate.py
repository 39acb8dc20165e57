"""The gate in front of the routes: who calls, how often, and whether it may."""

import ipaddress
from datetime import UTC, datetime

from starlette.requests import Request

from dspy_service.api.open_mode import require_this_machine
from dspy_service.bootstrap import Services
from dspy_service.domain.caller_errors import ForbiddenError, RateLimitedError, UnauthenticatedError
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.domain.keys import OPEN_CALLER, Caller
from dspy_service.domain.origins import is_loopback
from dspy_service.usecases.authenticate import authenticate

_IPV6_PREFIX = 64  # what one customer gets: single addresses are free
_NO_KEY_YET = "none exists yet; the operator creates the first with `dspy-service keys create --direct`"


class Gate:
    """Belongs to one application. It remembers that a key exists, which stays true for ever."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._has_keys = False

    async def admit(self, request: Request, token: str | None) -> Caller:
        """Return the caller.

        The address is counted before the key is looked at, so that guessing is slow and cheap; the key after it.

        Raises:
            UnauthenticatedError: a key is needed, and this is none that opens.
            ForbiddenError: in open mode, not from this machine.
            RateLimitedError: too often.
            StoreUnavailableError: nobody can be admitted.
        """
        if not await self._closed():
            if not is_loopback(self._settings.host):
                raise UnauthenticatedError(_NO_KEY_YET)
            require_this_machine(request, pages=self._settings.cors_origins)
            return OPEN_CALLER
        await self._count(f"address:{_address_of(request)}", self._settings.address_requests_per_minute)
        services = self._services
        caller = await authenticate(token, keys=services.keys, pepper=services.secret_key, now=datetime.now(UTC))
        await self._count(f"key:{caller.key_id}", self._settings.key_requests_per_minute)
        return caller

    async def recognize(self, request: Request, token: str | None) -> Caller | None:
        """Return the caller of a public route; None for one without a key, and while the store is away.

        Raises:
            UnauthenticatedError: a key was sent, and it opens nothing: its owner should hear so.
            RateLimitedError: too often.
        """
        try:
            return await self.admit(request, token)
        except UnauthenticatedError:
            if token is not None:
                raise
        except (ForbiddenError, StoreUnavailableError):
            pass
        return None

    async def require_a_key_or_loopback(self) -> None:
        """Refuse to start a service that others reach and nobody needs a key for.

        A store that does not answer yet is no reason: without it, nobody is admitted.

        Raises:
            ConfigurationError: no key exists, and ``HOST`` is no loopback address.
        """
        try:
            if is_loopback(self._settings.host) or await self._closed():
                return
        except StoreUnavailableError:
            return
        raise ConfigurationError(
            f"DSPY_SERVICE_HOST is {self._settings.host}, which others can reach, and no API key exists; "
            "create one with `dspy-service keys create --direct --admin`."
        )

    async def _closed(self) -> bool:
        if not self._has_keys:
            self._has_keys = await self._services.keys.any_exists()
        return self._has_keys

    async def _count(self, name: str, per_minute: int) -> None:
        if per_minute == 0:
            return
        wait_seconds = await self._services.rates.take(name, per_minute=per_minute)
        if wait_seconds is not None:
            raise RateLimitedError(per_minute, wait_seconds)


def _address_of(request: Request) -> str:
    """Return whom to count: an IPv4 address, or the network of an IPv6 address."""
    host = request.client.host if request.client else "local"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))
