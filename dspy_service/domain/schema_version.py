"""Refuses to read what a newer release wrote."""

from dspy_service.domain.errors import ConfigurationError


def require_known_version(what: str, version: int, *, known: int) -> None:
    """Return if this release can read it.

    Args:
        what: Completes "The store holds …".
        version: In which it was written.
        known: The newest one that this release reads.

    Raises:
        ConfigurationError: a newer release wrote it.
    """
    if version > known:
        message = (
            f"The store holds {what} in schema version {version}, and this release reads up to {known}; "
            "upgrade this process, or point it at another store."
        )
        raise ConfigurationError(message)
