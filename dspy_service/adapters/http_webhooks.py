"""Posts webhooks over HTTP, to the public internet and to what the operator named, and to nothing else.

A host's name is looked up here, every address that it stands for is checked, and the connection goes to one of these
very addresses: a name that means something else a moment later leads nowhere new. There is no client beneath, only a
transport: nothing follows redirects, keeps cookies, or reads proxies from the environment.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import httpx

from dspy_service.domain.errors import ForbiddenAddressError, UnsupportedRequestError
from dspy_service.domain.origins import host_of, origin_of
from dspy_service.domain.webhook import DeliveryAnswer, Webhook
from dspy_service.domain.webhook_policy import WebhookPolicy, is_public_address

if TYPE_CHECKING:
    from dspy_service.ports import WebhookSender

POST_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 5.0
_MOST_ADDRESSES: Final = 3
_LOOKUPS: Final = 16
"""Names that are looked up at a time, on threads of their own: a name server that is silent blocks no other work."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the IP addresses that a host stands for, the best one first; may raise OSError."""


class HttpWebhookSender:
    """Belongs to the event loop that first uses it.

    Args:
        policy: Returns the rules of this moment: open mode ends with the first key.
        resolve: How hosts are looked up; by default, as every program of this machine does.
        transport: What speaks HTTP; by default, one that checks certificates as httpx does.
        post_seconds: For everything together, from the lookup on.
    """

    def __init__(
        self,
        policy: Callable[[], Awaitable[WebhookPolicy]],
        *,
        resolve: Resolve | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        post_seconds: float = POST_SECONDS,
    ) -> None:
        self._policy = policy
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-lookup")
        self._resolve = resolve or self._look_up
        self._transport = transport or plain_transport()
        self._post_seconds = post_seconds

    async def post(self, url: str, *, body: bytes, headers: dict[str, str]) -> DeliveryAnswer:
        """Post once, and say what came of it; of the answer, only status and ``Retry-After`` are read.

        Raises:
            ForbiddenAddressError: the host stands for an address that must not be called.
            StoreUnavailableError: the rules are not known.
        """
        policy = await self._policy()
        try:
            async with asyncio.timeout(self._post_seconds):
                addresses = await self._checked_addresses(url, policy)
                return await self._post_to(addresses, url, body=body, headers=headers)
        except TimeoutError:
            return DeliveryAnswer(status=None, reason=f"there was no answer within {self._post_seconds:g} s")
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            return DeliveryAnswer(status=None, reason=f"it was not reached ({type(error).__name__})")

    async def aclose(self) -> None:
        """Release connections."""
        self._lookups.shutdown(wait=False, cancel_futures=True)
        await self._transport.aclose()

    async def _checked_addresses(self, url: str, policy: WebhookPolicy) -> Sequence[str]:
        try:
            policy.check(Webhook(url=url))  # the rules may have changed since the job was accepted
        except UnsupportedRequestError as error:
            raise ForbiddenAddressError(f"The address may not be called any more; {error}.") from error
        origin = origin_of(url.partition("?")[0])
        port = int(origin.rpartition(":")[2])
        addresses = await self._resolve(host_of(origin) or "", port)
        if not policy.names(origin) and not all(is_public_address(address) for address in addresses):
            raise ForbiddenAddressError(
                "The host stands for a private address; the operator may allow it (DSPY_SERVICE_WEBHOOK_ORIGINS)."
            )
        return addresses[:_MOST_ADDRESSES]

    async def _post_to(
        self, addresses: Sequence[str], url: str, *, body: bytes, headers: dict[str, str]
    ) -> DeliveryAnswer:
        """Try one address after the other until one takes the connection."""
        trouble: Exception = OSError("the host has no address")
        for address in addresses:
            request = _request(url, address, body=body, headers=headers)
            try:
                response = await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                trouble = error
                continue
            await response.aclose()
            return DeliveryAnswer(
                status=response.status_code, retry_after_seconds=_seconds_of(response.headers.get("retry-after"))
            )
        raise trouble

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._lookups, _addresses_of, host, port)
        return list(dict.fromkeys(found))


def plain_transport(tls: ssl.SSLContext | None = None) -> httpx.AsyncHTTPTransport:
    """Return a transport that ends each connection after its answer, so that no receiver gets another one's."""
    return httpx.AsyncHTTPTransport(
        verify=tls or httpx.create_ssl_context(), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )


def _addresses_of(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _request(url: str, address: str, *, body: bytes, headers: dict[str, str]) -> httpx.Request:
    """Return a request to an address, in the name of the host: in the header, in TLS and for the certificate."""
    named = httpx.URL(url)
    timeout = httpx.Timeout(POST_SECONDS, connect=_CONNECT_SECONDS)
    return httpx.Request(
        "POST",
        named.copy_with(host=address),
        headers={"host": named.netloc.decode("ascii"), **headers},
        content=body,
        extensions={"sni_hostname": named.host, "timeout": timeout.as_dict()},
    )


def _seconds_of(retry_after: str | None) -> float | None:
    """Read a number of seconds, or a point in time; None when it is neither, or past."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # an offset, or an hour, that no integer holds
        return None
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) or None


if TYPE_CHECKING:

    async def _strict() -> WebhookPolicy:
        return WebhookPolicy()

    _proof: WebhookSender = HttpWebhookSender(_strict)
