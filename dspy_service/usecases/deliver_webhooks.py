"""Tells whoever asked for it that a job has ended, again and again until it was heard or there is no use in trying."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from dspy_service.domain.errors import ForbiddenAddressError, JobNotFoundError, StoreUnavailableError
from dspy_service.domain.job import Job
from dspy_service.domain.origins import host_of
from dspy_service.domain.webhook import MOST_TRIES, Delivery, DeliveryAnswer, Webhook, pause_seconds
from dspy_service.domain.webhook_message import end_message, message_headers, tenant_secret
from dspy_service.ports import JobStore, WebhookSender

_log: Final = logging.getLogger(__name__)

LEASE_SECONDS: Final = 300.0
LATEST_START_SECONDS: Final = 240.0  # a post and its note take a quarter of a minute
LOOK_SECONDS: Final = 1.0
BATCH: Final = 100
IN_ALL: Final = 64
PER_RECEIVER: Final = 4
WAITING_PER_RECEIVER: Final = 100
"""Those beyond are left until their lease ends."""


async def deliver_webhooks(
    *,
    jobs: JobStore,
    sender: WebhookSender,
    secret_key: bytes,
    look_seconds: float = LOOK_SECONDS,
    latest_start_seconds: float = LATEST_START_SECONDS,
) -> None:
    """Post what is due; return once nothing is due any more and nothing is under way.

    Meanwhile we look for more each ``look_seconds``, and each receiver of each tenant has a few posts under way at a
    time, so that a slow one holds up nobody else. A delivery is leased while we have it, and forgotten only when it was
    heard: one that is cut short comes again under the same id.

    Args:
        jobs: Where ends wait to be told.
        sender: Posts.
        secret_key: The service's own; each tenant's signing secret is made of it.
        look_seconds: Between two looks while something is under way.
        latest_start_seconds: A delivery that has waited longer for its turn is left: its lease ends soon.

    Raises:
        StoreUnavailableError: nothing more is known to be due; what was under way has been ended first.
    """
    told = _Round(jobs, sender, secret_key, latest_start_seconds)
    trouble: StoreUnavailableError | None = None
    async with asyncio.TaskGroup() as posts:
        under_way: set[asyncio.Task[None]] = set()
        while True:
            try:
                due = await jobs.due_deliveries(lease_seconds=LEASE_SECONDS, limit=BATCH)
            except StoreUnavailableError as error:
                trouble = error
                break
            under_way |= {posts.create_task(told.deliver(delivery)) for delivery in due}
            if not under_way:
                break
            _, under_way = await asyncio.wait(under_way, timeout=look_seconds)
    if trouble is not None:
        raise trouble


@dataclass
class _Lane:
    """The posts to one receiver."""

    width: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PER_RECEIVER))
    length: int = 0
    """Those under way and those that wait."""


class _Round:
    """What the posts of one call share."""

    def __init__(self, jobs: JobStore, sender: WebhookSender, secret_key: bytes, latest_start_seconds: float) -> None:
        self._jobs = jobs
        self._sender = sender
        self._secret_key = secret_key
        self._latest_start_seconds = latest_start_seconds
        self._width = asyncio.Semaphore(IN_ALL)
        self._lanes: dict[tuple[str, str], _Lane] = {}

    async def deliver(self, delivery: Delivery) -> None:
        """Post once and note what came of it; never raises, because one delivery must not end the others."""
        begun_at = asyncio.get_running_loop().time()
        try:
            job = await self._job(delivery)
            if job is None or job.webhook is None or not job.status.is_terminal:
                return  # opened again since: the store drops what was to be told
            async with self._turn(job.tenant, _host_of(job.webhook)):
                if asyncio.get_running_loop().time() - begun_at < self._latest_start_seconds:
                    await self._note(delivery, job.webhook, await self._post(delivery, job, job.webhook))
        except (StoreUnavailableError, _LaneFullError) as error:
            _log.info("Delivery %s comes again when its lease ends: %s", delivery.delivery_id, error)
        except Exception:  # noqa: BLE001  # a bug that one delivery meets is not the others' affair
            _log.exception("Delivery %s met a bug of the service; it comes again.", delivery.delivery_id)

    async def _job(self, delivery: Delivery) -> Job | None:
        try:
            return await self._jobs.get(delivery.job_id)
        except JobNotFoundError:
            await self._jobs.delivered(delivery.delivery_id)
            return None

    @asynccontextmanager
    async def _turn(self, tenant: str, host: str) -> AsyncIterator[None]:
        lane = self._lanes.setdefault((tenant, host), _Lane())
        if lane.length >= WAITING_PER_RECEIVER:
            raise _LaneFullError("too many wait for this receiver.")
        lane.length += 1
        try:
            async with lane.width, self._width:
                yield
        finally:
            lane.length -= 1
            if not lane.length:
                del self._lanes[tenant, host]

    async def _post(self, delivery: Delivery, job: Job, webhook: Webhook) -> DeliveryAnswer:
        body = end_message(job)
        headers = message_headers(
            body,
            secret=tenant_secret(self._secret_key, job.tenant),
            delivery_id=delivery.delivery_id,
            sent_at=await self._jobs.now(),
        )
        try:
            return await self._sender.post(webhook.url, body=body, headers=headers)
        except ForbiddenAddressError as error:
            return DeliveryAnswer(status=None, reason=str(error))

    async def _note(self, delivery: Delivery, webhook: Webhook, answer: DeliveryAnswer) -> None:
        tries = delivery.tries + 1
        pause = pause_seconds(tries, retry_after_seconds=answer.retry_after_seconds)
        if answer.is_accepted:
            await self._jobs.delivered(delivery.delivery_id)
        elif answer.is_final or pause is None:
            text = "Gave up telling %s that job %s has ended, after %d tries: %s"
            _log.warning(text, _host_of(webhook), delivery.job_id, tries, _said(answer))
            problem = f"Given up after {tries} tries: {_said(answer)}"
            await self._jobs.delivered(delivery.delivery_id, problem=problem)
        else:
            text = "%s was not told that job %s has ended (try %d, the next one in %.0f s): %s"
            _log.info(text, _host_of(webhook), delivery.job_id, tries, pause, _said(answer))
            problem = f"Not told yet, try {tries} of {MOST_TRIES}: {_said(answer)}"
            await self._jobs.put_off(delivery.delivery_id, seconds=pause, problem=problem)


class _LaneFullError(Exception):
    """So many deliveries wait for one receiver that another one is not worth its memory."""


def _host_of(webhook: Webhook) -> str:
    """Return who is told, for people and for counting; the rest of the address may hold a secret."""
    return host_of(webhook.url) or "a receiver without a name"


def _said(answer: DeliveryAnswer) -> str:
    return answer.reason or f"it answered {answer.status}"
