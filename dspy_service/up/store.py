"""Asks the configured store once for its time, so that an unreachable one is a sentence and not a hanging start."""

import asyncio

from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError

ANSWER_SECONDS = 3.0


def require_store(settings: Settings) -> None:
    """Refuse to start on a store that does not answer.

    Raises:
        ConfigurationError: the sentence names the setting, without the password that the URL may hold.
    """
    try:
        asyncio.run(asyncio.wait_for(_ask(settings), ANSWER_SECONDS))
    except (StoreUnavailableError, TimeoutError) as error:
        raise ConfigurationError(
            "The Redis or Valkey of DSPY_SERVICE_REDIS_URL does not answer; start it, correct the address, "
            "or unset it to use the embedded one."
        ) from error


async def _ask(settings: Settings) -> None:
    async with open_services(settings) as services:
        await services.jobs.now()
