"""Where the API may listen, checked before anything is started."""

import socket

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.origins import is_loopback

_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens because of this


def require_loopback(host: str) -> None:
    """Refuse any address that others can reach, for a service without an API key.

    Raises:
        ConfigurationError: ``host`` is not a loopback address.
    """
    if not is_loopback(host):
        raise ConfigurationError(
            f"Listening on {host!r} would give everyone who reaches it the use of your models, and no API key exists; "
            "create one with `dspy-service keys create --direct --admin`, or set DSPY_SERVICE_HOST to 127.0.0.1."
        )


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that somebody listens on, or that this user may not take.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn does: a port in TIME_WAIT is free
        try:
            probe.bind(address)
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used ({error.strerror}); "
                "stop the program that has it or set DSPY_SERVICE_PORT to another one."
            ) from error


def free_port(host: str) -> int:
    """Return a port that was free a moment ago.

    Raises:
        ConfigurationError: this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigurationError(
            f"This machine cannot listen on {host!r} ({error.strerror}); set DSPY_SERVICE_HOST to 127.0.0.1."
        ) from error


def base_url(host: str, port: int) -> str:
    """Return the address to type into a browser; a service on every address answers on loopback too."""
    host = _LOOPBACK_OF.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
