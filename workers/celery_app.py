"""The Celery application: its settings, and what of ours happens at which moment of a worker's life.

Flower loads this module too and runs nothing, so what is heavy is imported when a worker needs it.
"""

import os
import sys
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)

from dspy_service.adapters.celery_settings import celery_settings
from dspy_service.adapters.redacted_logging import hide_secrets_in_logs, secret_values
from dspy_service.config import load_settings
from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.workers import JOBS_QUEUE

# However this worker was started: DSPy's LiteLLM would fetch its price list over the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

# It warns root that a pickled message would be code; we accept JSON only.
warnings.filterwarnings("ignore", category=SecurityWarning)

_settings = load_settings()
hide_secrets_in_logs(secret_values(_settings))

app = Celery("workers", include=["workers.tasks"])
app.conf.update(celery_settings(_settings.redis_url))


def _prepare(**_signal: Any) -> None:  # noqa: ANN401 - whatever Celery sends along
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - imports dspy, in the parent, before it forks

    try:
        LIFECYCLE.prepare_parent(_settings, queues=tuple(sorted(app.amqp.queues.consume_from)))
    except ConfigurationError as error:
        sys.exit(str(error))
    if not LIFECYCLE.may_run_jobs:
        app.amqp.queues.deselect([JOBS_QUEUE])  # the doorbell is for other workers


def _ready(sender: Any, **_signal: Any) -> None:  # noqa: ANN401 - a Celery consumer, which has no type
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - as above

    LIFECYCLE.start_dispatcher(concurrency=sender.controller.concurrency)


def _shutting_down(**_signal: Any) -> None:  # noqa: ANN401 - as above
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - as above

    LIFECYCLE.go_away()


def _open_slot(**_signal: Any) -> None:  # noqa: ANN401 - as above
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - as above

    LIFECYCLE.open_slot()


def _close_slot(**_signal: Any) -> None:  # noqa: ANN401 - as above
    from workers.lifecycle import LIFECYCLE  # noqa: PLC0415 - as above

    LIFECYCLE.close_slot()


worker_init.connect(_prepare)
worker_ready.connect(_ready)
worker_shutting_down.connect(_shutting_down)
worker_process_init.connect(_open_slot)
worker_process_shutdown.connect(_close_slot)
