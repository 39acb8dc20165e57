"""Asks the configured store once, so that an unreachable one, or another's, is a sentence and not a hanging start."""

import asyncio
from dataclasses import dataclass

from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.usecases.check_secret_key import check_secret_key

ANSWER_SECONDS = 3.0


@dataclass(frozen=True)
class StoreFacts:
    """What a start must know about the store."""

    has_keys: bool
    """Whether an API key was ever made: the service may then listen where others reach it."""


def require_store(settings: Settings) -> StoreFacts:
    """Refuse to start on a store that does not answer, or that belongs to a service with another secret key.

    Raises:
        ConfigurationError: the sentence names the setting, without the password that the URL may hold.
    """
    try:
        return asyncio.run(asyncio.wait_for(_ask(settings), ANSWER_SECONDS))
    except (StoreUnavailableError, TimeoutError) as error:
        raise ConfigurationError(
            "The Redis or Valkey of DSPY_SERVICE_REDIS_URL does not answer; start it, correct the address, "
            "or unset it to use the embedded one."
        ) from error


async def _ask(settings: Settings) -> StoreFacts:
    async with open_services(settings) as services:
        await check_secret_key(services.secret_key, jobs=services.jobs)
        return StoreFacts(has_keys=await services.keys.any_exists())
