"""What both clients share: options, and what a submission and a request are made of."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypedDict

import httpx

from dspy_service.client import calls, payload, plans
from dspy_service.client.answers import JobSummary, Submitted
from dspy_service.client.calls import Call
from dspy_service.client.errors import ServiceAddressError
from dspy_service.client.payload import MetricLike, SignatureLike, SubmitOptions
from dspy_service.client.plans import Plan
from dspy_service.client.programs import Bundle
from dspy_service.domain.job import JobStatus

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT_SECONDS = 30.0

JobOrBundle: TypeAlias = str | Bundle


class WaitOptions(TypedDict, total=False):
    """How to wait; see ``plans.wait`` for the defaults.

    ``on_progress`` sees each polled summary; without ``timeout_seconds`` the wait lasts as long as the job;
    ``raise_on_failure`` turns a job without success into ``JobFailedError``.
    """

    on_progress: Callable[[JobSummary], None] | None
    poll_seconds: float
    timeout_seconds: float | None
    raise_on_failure: bool


class ListOptions(TypedDict, total=False):
    """Which jobs to list: all conditions must hold. ``after`` is the ``last_id`` of the page before."""

    limit: int
    after: str
    status: JobStatus | str
    optimizer: str
    metadata: Mapping[str, str]


def query_of(options: ListOptions) -> dict[str, str | int]:
    """Return the query of a list."""
    query: dict[str, str | int] = {f"metadata[{key}]": value for key, value in options.get("metadata", {}).items()}
    if "limit" in options:
        query["limit"] = options["limit"]
    for name in ("after", "status", "optimizer"):
        if name in options:
            query[name] = str(options[name])
    return query


def submission(
    signature: SignatureLike, metric: MetricLike, dataset: Iterable[Any], options: SubmitOptions
) -> Plan[Submitted]:
    """Plan the submission of Python objects."""
    return handing_in(payload.build(signature, metric, dataset, options), options.get("idempotency_key"))


def handing_in(body: Mapping[str, Any], idempotency_key: str | None) -> Plan[Submitted]:
    """Plan the submission of a body; without a key of the caller's, one is drawn so that it may be sent again.

    Raises:
        SubmissionError: the body is not JSON.
    """
    return plans.ask(calls.submit(body, idempotency_key=idempotency_key or uuid.uuid4().hex))


def request_of(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """Write a call as a request of ``http``."""
    return http.build_request(
        call.method, call.path, params=dict(call.params) or None, content=call.content, headers=dict(call.headers)
    )


def checked_base_url(base_url: str) -> httpx.URL:
    """Return the service's address.

    Raises:
        ServiceAddressError: no request could go there, whatever listens.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ServiceAddressError(base_url) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ServiceAddressError(base_url)
    return url


def is_loopback(url: httpx.URL) -> bool:
    """Whether a proxy from the environment could only be in the way."""
    return url.host in {"127.0.0.1", "localhost", "::1"}
