"""The composition root of a worker's parent process; ``workers.slot`` is that of its pool children."""

import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from dspy_service.adapters.http_webhooks import HttpWebhookSender
from dspy_service.adapters.redacted_logging import hide_secrets_in_logs
from dspy_service.bootstrap import Services, open_services
from dspy_service.config import Settings
from dspy_service.domain.webhook_policy import WebhookPolicy
from dspy_service.domain.workers import WorkerInfo
from dspy_service.ports import WebhookSender
from dspy_service.usecases.deliver_webhooks import deliver_webhooks
from dspy_service.usecases.reap_jobs import LOOK_SECONDS, Reaper, end_leases
from dspy_service.usecases.serving.sweep_conversations import sweep_conversations
from dspy_service.usecases.serving.sweep_versions import sweep_versions
from dspy_service.usecases.settle_left_jobs import Settler
from dspy_service.usecases.sweep_datasets import find_left_datasets
from dspy_service.usecases.sweep_retention import sweep_retention
from workers.chores import Chore
from workers.dispatch import Dispatcher, Door
from workers.hand_back import Notice
from workers.lm.environment import ProviderEnvironment, read_provider_environment
from workers.lm.models_file import ModelsFile, read_models_file
from workers.roster import Roster
from workers.sandbox.levels import Offer, best_level

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 600.0
"""Between two looks for jobs and rows that are past their time."""

FIND_SECONDS = 86_400.0
"""Between two looks through all rows that are stored."""
SLOTS_SECONDS = 0.5
"""Between two looks whether this worker's own slots live; the store hears of it only when one has died."""


@dataclass(frozen=True)
class Parent:
    """What the parent process finds out once and its forked children inherit."""

    settings: Settings
    offer: Offer
    providers: ProviderEnvironment
    models: ModelsFile
    worker_id: str
    started_at: datetime
    notice: Notice
    roster: Roster
    serving_roster: Roster

    @classmethod
    def prepare(cls, settings: Settings) -> "Parent":
        """Probe the confinement and read the provider keys; say at once what is wrong with the former.

        Raises:
            ConfigurationError: the settings cannot work, or submitted code cannot be confined at all.
        """
        open_services(settings)  # a mistake in the operator's registry should end the start, not every slot
        offer = best_level(environ=os.environ)
        if refusal := offer.below(settings.sandbox_min_level):
            logger.error("This worker takes no job. %s", refusal)
        elif warning := offer.warning:
            logger.warning("%s", warning)
        models = read_models_file(settings.models_file)
        providers = read_provider_environment(os.environ)
        hide_secrets_in_logs(providers.secrets)
        return cls(
            settings=settings,
            offer=offer,
            providers=providers,
            models=models,
            worker_id=f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() // 1_000_000}",
            started_at=datetime.now(UTC),
            notice=Notice(),
            roster=Roster(remembered_seconds=settings.lease_seconds),
            serving_roster=Roster(remembered_seconds=settings.run_lease_seconds),
        )

    @property
    def may_run_jobs(self) -> bool:
        """Whether submitted code is confined here as well as the settings ask."""
        return self.offer.below(self.settings.sandbox_min_level) is None

    def dispatcher(self, *, queues: tuple[str, ...], concurrency: int) -> Dispatcher:
        """Return the dispatcher of this worker; it opens its own connections on its own loop."""

        @asynccontextmanager
        async def door() -> AsyncIterator[Door]:
            async with open_services(self.settings) as services, aclosing(_webhook_sender(services)) as sender:
                yield Door(
                    services.jobs,
                    services.doorbell,
                    (
                        *_chores(services, sender),
                        _watch_over_slots(services, self.roster),
                        _watch_over_serving(services, self.serving_roster),
                    ),
                    tenant_running_jobs=self.settings.tenant_running_jobs,
                )

        worker = WorkerInfo(
            worker_id=self.worker_id,
            queues=queues,
            concurrency=concurrency,
            sandbox_level=self.offer.level,
            missing=self.offer.missing,
            started_at=self.started_at,
        )
        return Dispatcher(door, worker)


def _watch_over_slots(services: Services, roster: Roster) -> Chore:
    """Return what this worker's parent does for its own slots' jobs."""

    async def look() -> None:
        if owners := roster.dead():
            await end_leases(owners, jobs=services.jobs, max_losses=services.settings.max_losses)

    return Chore("report slots that died", look, period_seconds=SLOTS_SECONDS)


def _watch_over_serving(services: Services, roster: Roster) -> Chore:
    """Return what this worker's parent does for the runs of its own pool children."""

    async def look() -> None:
        if owners := roster.dead():
            await services.runs.lose(owners)

    return Chore("report serving processes that died", look, period_seconds=SLOTS_SECONDS)


def _chores(services: Services, sender: WebhookSender) -> tuple[Chore, ...]:
    """Return what this worker's parent does for the jobs of all workers."""
    settings = services.settings
    reaper = Reaper(lease_seconds=settings.lease_seconds, max_losses=settings.max_losses)
    settler = Settler(secret_key=services.secret_key)
    return (
        Chore("reap jobs of lost workers", lambda: reaper.reap(services.jobs), period_seconds=LOOK_SECONDS),
        Chore(
            "settle ended jobs",
            lambda: settler.settle(jobs=services.jobs, artifacts=services.artifacts),
            period_seconds=1.0,
        ),
        Chore(
            "tell webhooks",
            lambda: deliver_webhooks(jobs=services.jobs, sender=sender, secret_key=services.secret_key),
            period_seconds=1.0,
        ),
        Chore(
            "delete what is past its time",
            lambda: sweep_retention(
                jobs=services.jobs, artifacts=services.artifacts, retention_days=settings.retention_days
            ),
            period_seconds=SWEEP_SECONDS,
        ),
        Chore(
            "delete conversations that are past their time",
            lambda: sweep_conversations(
                conversations=services.conversations,
                runs=services.runs,
                retention_days=settings.conversation_retention_days,
            ),
            period_seconds=SWEEP_SECONDS,
        ),
        Chore(
            "delete files that no served version names",
            lambda: sweep_versions(jobs=services.jobs, programs=services.programs, artifacts=services.artifacts),
            period_seconds=FIND_SECONDS,
        ),
        Chore(
            "find rows that no job names",
            lambda: find_left_datasets(jobs=services.jobs, artifacts=services.artifacts),
            period_seconds=FIND_SECONDS,
        ),
    )


def _webhook_sender(services: Services) -> HttpWebhookSender:
    """Return what posts, by the rules of the moment: open mode ends with the first key."""

    async def policy() -> WebhookPolicy:
        return WebhookPolicy(
            allowed_origins=frozenset(services.settings.webhook_origins),
            allow_loopback=not await services.keys.any_exists(),
        )

    return HttpWebhookSender(policy)
