"""One role on its own, for many processes and machines: this process becomes the API or a worker."""

import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

from dspy_service.domain.workers import SERVING_QUEUE
from dspy_service.up.binding import require_free_port, require_loopback
from dspy_service.up.commands import (
    SERVING_PROCESSES,
    api_command,
    api_environment,
    worker_command,
    worker_environment,
)
from dspy_service.up.run import settings_for
from dspy_service.up.store import require_store


def become_api(*, host: str | None, port: int | None, verbose: bool) -> NoReturn:
    """Turn this process into the HTTP API.

    Raises:
        ConfigurationError: the settings do not allow it; nothing was started.
    """
    settings = settings_for(host=host, port=port, verbose=verbose)
    require_free_port(settings.host, settings.port)
    if not require_store(settings).has_keys:
        require_loopback(settings.host)
    environment = {  # what the command line said, for the process that decides by it whom to admit
        **api_environment(os.environ),
        "DSPY_SERVICE_HOST": settings.host,
        "DSPY_SERVICE_PORT": str(settings.port),
    }
    _become(api_command(settings.host, settings.port, log_level=settings.log_level), environment)


def become_worker(queues: Sequence[str], concurrency: int | None, *, verbose: bool) -> NoReturn:
    """Turn this process into one worker.

    Args:
        queues: What it is there for: ``jobs``, ``serving``, or both.
        concurrency: Pool children; None: as the settings say, one when it only serves.
        verbose: Log more than the settings say.

    Raises:
        ConfigurationError: the settings do not allow it; nothing was started.
    """
    settings = settings_for(verbose=verbose)
    require_store(settings)
    slots = concurrency or (SERVING_PROCESSES if tuple(queues) == (SERVING_QUEUE,) else settings.worker_concurrency)
    _become(worker_command(queues, slots, log_level=settings.log_level), worker_environment(os.environ))


def _become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - our own command
