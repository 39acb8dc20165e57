"""Open mode: without a single key, the service is for the programs of this machine, and for nobody else."""

from collections.abc import Collection

from starlette.requests import Request

from dspy_service.domain.caller_errors import ForbiddenError
from dspy_service.domain.origins import host_of, is_loopback

_WHY = (
    "This service runs in open mode, for this machine only: {what}. "
    "To serve others, its operator creates an API key (`dspy-service keys create --direct`)."
)

_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def require_this_machine(request: Request, *, pages: Collection[str]) -> None:
    """Refuse what comes from elsewhere.

    The address is looked at although the service is meant to listen on loopback: a server may have been started on
    another address than the settings say. A proxy on this machine would lend its address to anybody. A Host that is
    no loopback name is DNS rebinding, and an Origin from elsewhere a foreign web page, unless the operator named it
    in ``pages``.

    Raises:
        ForbiddenError: the sentence says which.
    """
    if request.client is None or not is_loopback(request.client.host):
        raise ForbiddenError(_WHY.format(what="the request came from another address"))
    if any(name in request.headers for name in _PROXY_HEADERS):
        raise ForbiddenError(_WHY.format(what="the request came through a proxy"))
    if not is_loopback(host_of(f"//{request.headers.get('host', '')}")):
        raise ForbiddenError(_WHY.format(what="the Host header must name it by a loopback address"))
    origin = request.headers.get("origin")
    if origin is not None and origin not in pages and not is_loopback(host_of(origin)):
        raise ForbiddenError(_WHY.format(what="a web page from another origin may not call it"))
