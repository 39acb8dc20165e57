"""Asks the configured store first, so that an unreachable one, or another's, is a sentence and not a hanging start."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from dspy_service.bootstrap import Services, open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.usecases.check_secret_key import check_secret_key

_log: Final = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 15.0
"""A store that starts at the same time, or a busy machine, may need so long."""
_PAUSE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class StoreFacts:
    """What a start must know about the store."""

    has_keys: bool
    """Whether an API key was ever made: the service may then listen where others reach it."""


def require_store(settings: Settings, *, patience_seconds: float = PATIENCE_SECONDS) -> StoreFacts:
    """Refuse to start on a store that does not answer, or that belongs to a service with another secret key.

    Args:
        settings: Name the store.
        patience_seconds: One that does not answer is asked again for so long.

    Raises:
        ConfigurationError: the sentence names the setting, without the password that the URL may hold.
    """
    try:
        return asyncio.run(_ask_again_and_again(settings, patience_seconds))
    except (StoreUnavailableError, TimeoutError) as error:
        raise ConfigurationError(
            "The Redis or Valkey of DSPY_SERVICE_REDIS_URL does not answer; start it, correct the address, "
            "or unset it to use the embedded one."
        ) from error


async def _ask_again_and_again(settings: Settings, seconds: float) -> StoreFacts:
    clock = asyncio.get_running_loop().time
    gives_up_at, was_told = clock() + seconds, False
    async with open_services(settings) as services:  # its imports may take seconds, which are not the store's
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return await _ask(services)
            except (StoreUnavailableError, TimeoutError):
                if clock() >= gives_up_at:
                    raise
            if not was_told:
                _log.warning("The store does not answer yet; it is asked again for %.0f s.", seconds)
                was_told = True
            await asyncio.sleep(_PAUSE_SECONDS)


async def _ask(services: Services) -> StoreFacts:
    await check_secret_key(services.secret_key, jobs=services.jobs)
    return StoreFacts(has_keys=await services.keys.any_exists())
