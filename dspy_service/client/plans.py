"""What the clients do, written once: plans yield steps, and a client performs them, sync or async."""

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

from dspy_service.client import calls
from dspy_service.client.answers import JobDetail, JobSummary
from dspy_service.client.calls import Call
from dspy_service.client.errors import (
    JobFailedError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    TooManyRequestsError,
    WaitTimeoutError,
)
from dspy_service.domain.events import Event, LogEntry

T = TypeVar("T")

_RETRY_PAUSES_SECONDS = (0.2, 0.6, 1.8)  # bridges a short interruption; a wrong address should not take long to tell
PATIENT_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0)  # then nobody answered for a minute
_LONGEST_RETRY_AFTER_SECONDS = 30.0
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_PAGE_EVENTS = 1000


@dataclass(frozen=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


Reply: TypeAlias = httpx.Response | httpx.TransportError | None
Plan: TypeAlias = Generator[Call[Any] | Pause, Reply, T]
"""Yields what to do next; is sent the response (or why there is none) of each call, and None after a pause."""


def ask(call: Call[T], *, pauses_seconds: Iterable[float] = _RETRY_PAUSES_SECONDS) -> Plan[T]:
    """Send one call, again after a pause when the service is briefly away.

    Args:
        call: What to send.
        pauses_seconds: How long to wait before it is sent again each time.

    Raises:
        ServiceUnreachableError: nothing answered, also not later.
        ApiError: the service refused.
    """
    for pause_seconds in pauses_seconds:
        reply = yield call
        if not _is_worth_a_retry(call, reply):
            return _conclude(call, reply)
        yield Pause(retry_after_seconds(reply) or pause_seconds)
    return _conclude(call, (yield call))


def once(call: Call[T]) -> Plan[T]:
    """Send one call once: for what must not happen twice when only its answer was lost. Raises as ``ask`` does."""
    return _conclude(call, (yield call))


def delete(job_id: str) -> Plan[None]:
    """Delete a job; when only the answer was lost, its absence is the proof that it worked. Raises as ``ask`` does."""
    try:
        yield from once(calls.delete(job_id))
    except (ServiceUnreachableError, ServiceUnavailableError, TooManyRequestsError):
        yield Pause(_RETRY_PAUSES_SECONDS[0])
        yield from ask(calls.delete(job_id, may_be_gone=True))


def _conclude(call: Call[T], reply: Reply) -> T:
    if isinstance(reply, httpx.Response):
        return call.read(reply)
    address = f"{call.method} {call.path}" if reply is None else str(reply.request.url.copy_with(raw_path=b"/"))
    raise ServiceUnreachableError(address, str(reply) or type(reply).__name__) from reply


def _is_worth_a_retry(call: Call[Any], reply: Reply) -> bool:
    if isinstance(reply, httpx.Response):
        return reply.status_code in RETRIED_STATUSES - call.answers
    return True


def retry_after_seconds(reply: Reply) -> float | None:
    """Return how long the service asks to wait, half a minute at most; None when it does not say."""
    asked = reply.headers.get("retry-after", "") if isinstance(reply, httpx.Response) else ""
    return min(float(asked), _LONGEST_RETRY_AFTER_SECONDS) if asked.isdecimal() else None


def all_events(job_id: str, *, after: int = 0) -> Plan[list[Event]]:
    """Collect every event with ``seq > after``, page by page."""
    found: list[Event] = []
    while True:
        page = yield from ask(calls.events(job_id, after=after, limit=_PAGE_EVENTS))
        found += page.data
        if not page.has_more or not page.data:
            return found
        after = page.last_id


def wait(
    job_id: str,
    *,
    on_progress: Callable[[JobSummary], None] | None = None,
    poll_seconds: float = 1.0,
    timeout_seconds: float | None = None,
    raise_on_failure: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Plan[JobDetail]:
    """Poll the summary until the job has ended, then return its whole record.

    A service that has answered once may be away for a minute, as when it is deployed anew.

    Raises:
        WaitTimeoutError: the job still runs.
        ServiceUnreachableError: nobody has answered for a minute, or for the rest of ``timeout_seconds``.
        JobFailedError: it ended without success, and ``raise_on_failure`` was asked for.
    """
    started = clock()
    pauses_seconds: Iterable[float] = _RETRY_PAUSES_SECONDS
    while True:
        summary = yield from ask(calls.summary(job_id), pauses_seconds=pauses_seconds)
        if on_progress is not None:
            on_progress(summary)
        if summary.status.is_terminal:
            break
        if timeout_seconds is not None and clock() - started + poll_seconds > timeout_seconds:
            raise WaitTimeoutError(job_id, summary.status, timeout_seconds)
        yield Pause(poll_seconds)
        left_seconds = math.inf if timeout_seconds is None else timeout_seconds - (clock() - started)
        pauses_seconds = _within(left_seconds, PATIENT_PAUSES_SECONDS)
    detail = yield from ask(calls.status(job_id))
    if raise_on_failure and not detail.succeeded:
        raise _failure(detail)
    return detail


def _within(seconds: float, pauses_seconds: Sequence[float]) -> list[float]:
    """Return the pauses that fit, one after the other, into a time."""
    ends = itertools.accumulate(pauses_seconds)
    return [pause for pause, end in zip(pauses_seconds, ends, strict=True) if end <= seconds]


def _failure(detail: JobDetail) -> JobFailedError:
    return JobFailedError(
        detail.job_id,
        detail.status.value,
        detail.message or "no reason was recorded",
        termination_reason=detail.termination_reason,
        traceback=user_traceback(detail.logs),
    )


def user_traceback(logs: list[LogEntry]) -> str | None:
    """Return the last traceback among the log lines; the runner logs the submitted code's own before it fails."""
    for entry in reversed(logs):
        if entry.level in {"ERROR", "CRITICAL"} and "Traceback (most recent call last)" in entry.message:
            return entry.message
    return None
