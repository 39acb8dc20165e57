"""Origins: where a URL leads, in one spelling, so that two of them can be compared as text."""

import ipaddress
import re
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
"""A host's name. The last label starts with a letter, as in every top level domain: what starts with a digit is an
address in some spelling (``2130706433``, ``0x7f.1``, ``127.1``), which resolvers read in ways of their own."""


def origin_of(url: str) -> str:
    """Return ``scheme://host:port`` in lower case, with the port written out.

    Raises:
        ValueError: the URL is not plain ``http(s)://host[:port][/path]``, or its host is written in a way that
            different programs read differently.
    """
    if re.search(r"[\s\\\x00-\x1f\x7f]", url):
        message = "must not hold spaces, backslashes or control characters"
        raise ValueError(message)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        message = f"is not a URL: {error}"
        raise ValueError(message) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        message = "must look like https://host/v1"
        raise ValueError(message)
    if "@" in parts.netloc:
        message = "must not hold a user name or password"
        raise ValueError(message)
    if parts.query or parts.fragment:
        message = "must not hold a query or a fragment"
        raise ValueError(message)
    host = _plain_host(parts.hostname)
    if parts.netloc.lower() not in {host, f"{host}:{port}"}:  # something behind a bracket, an empty port, zeros
        message = "must name its host as host or host:port, and nothing else"
        raise ValueError(message)
    return f"{parts.scheme}://{host}:{port or _DEFAULT_PORTS[parts.scheme]}"


def page_origin_of(url: str) -> str:
    """Return an origin as a browser's ``Origin`` header has it: without the scheme's usual port.

    Raises:
        ValueError: it is no origin; ``*`` is none either.
    """
    origin = origin_of(url)
    scheme, _, rest = origin.partition("://")
    return origin.removesuffix(f":{_DEFAULT_PORTS[scheme]}") if rest else origin


def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address means this machine."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def host_of(origin: str) -> str | None:
    """Return the host of an origin or URL; None when there is none, or half an IPv6 address."""
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _plain_host(name: str) -> str:
    """Return a host in its one spelling: a name, four decimal numbers, or a bracketed IPv6 address."""
    if _NAME.fullmatch(name):
        return name
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        message = f"has a host, {name[:100]!r}, that is neither a plain name nor a plain address"
        raise ValueError(message) from None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None or address.scope_id is not None:
        message = "must name an IPv4 address as four numbers, and an IPv6 address without a zone"
        raise ValueError(message)
    return f"[{address}]"
