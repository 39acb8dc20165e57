"""Where a webhook may lead: to the public internet, and to what the operator named."""

import ipaddress
from dataclasses import dataclass

from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.origins import host_of, is_loopback, origin_of
from dspy_service.domain.webhook import Webhook

_FIELD = "webhook.url"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # the last four bytes are an IPv4 address
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that was ever given out; site-local addresses are not in it


@dataclass(frozen=True)
class WebhookPolicy:
    """The operator's rules.

    ``allowed_origins`` are ``scheme://host:port``, as ``origin_of`` writes them. ``allow_loopback`` is for a service
    that only this machine can reach.
    """

    allowed_origins: frozenset[str] = frozenset()
    allow_loopback: bool = False

    def check(self, webhook: Webhook) -> None:
        """Check an address before anything is sent to it. What its name stands for is checked again at each post.

        Raises:
            UnsupportedRequestError: it is no https address, or one that must not be called from here.
        """
        if "#" in webhook.url:
            raise _refused("must not hold a fragment")
        address, _, query = webhook.url.partition("?")
        try:
            origin = origin_of(address)
        except ValueError as error:
            raise _refused(str(error)) from None
        if not query.isprintable() or not query.isascii() or " " in query:
            raise _refused("must hold a plain query: printable ASCII characters without spaces")
        if self.names(origin):
            return
        if not origin.startswith("https:"):
            raise _refused("must start with https://; the operator may allow more (DSPY_SERVICE_WEBHOOK_ORIGINS)")
        host = host_of(origin) or ""
        if _is_address(host) and not is_public_address(host):
            raise _refused("names a private address; the operator may allow it (DSPY_SERVICE_WEBHOOK_ORIGINS)")
        if host == "localhost" or host.endswith(".localhost"):
            raise _refused("names the service's own machine")

    def names(self, origin: str) -> bool:
        """Whether the operator allows this origin wherever it leads; such a host's addresses are not looked at."""
        return origin in self.allowed_origins or (self.allow_loopback and is_loopback(host_of(origin)))


def is_public_address(text: str) -> bool:
    """Whether an IP address belongs to the public internet, with every IPv4 address that an IPv6 one may carry."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner = [each for each in carried if each is not None]
        if inner:
            return all(each.is_global and not each.is_multicast for each in inner)
        if address not in _IPV6_UNICAST:
            return False
    return address.is_global and not address.is_multicast


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(message: str) -> UnsupportedRequestError:
    return UnsupportedRequestError.of(_FIELD, message)
