"""The provider settings of a worker's environment, read once at its start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

OWN_PREFIX: Final = "DSPY_SERVICE_"
_SECRET_NAMES: Final = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_MIN_SECRET_CHARS: Final = 8  # shorter values would blot out ordinary words
_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class ProviderEnvironment:
    """What providers' engines may know: keys, account names, proxies. Never shown to a runner."""

    variables: Mapping[str, str] = field(repr=False)
    uses_proxy: bool
    """Whether requests may go through a proxy; looking that up costs a quarter of a call's CPU, so not by default."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that no message may repeat."""
        return tuple(
            value
            for name, value in self.variables.items()
            if name.upper().endswith(_SECRET_NAMES) and len(value) >= _MIN_SECRET_CHARS
        )


def read_provider_environment(environ: Mapping[str, str]) -> ProviderEnvironment:
    """Take the providers' part of ``environ``; call it once, at the start of the process.

    Our own settings are left out. Redirections such as ``OPENAI_BASE_URL`` have no effect: an endpoint is named by a
    job's ``base_url`` or it is the provider's own, so that a key goes nowhere else.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(OWN_PREFIX) and not _redirects(name)}
    return ProviderEnvironment(kept, uses_proxy=any(kept.get(n) or kept.get(n.upper()) for n in _PROXY_VARIABLES))


def _redirects(name: str) -> bool:
    return name.endswith(("_API_BASE", "_BASE_URL"))
