"""What a webhook is told, and the signature that proves who says it: https://www.standardwebhooks.com, version 1."""

import base64
import hashlib
import hmac
from datetime import datetime

import pydantic_core

from dspy_service.domain.job import Job
from dspy_service.domain.times import write_utc
from dspy_service.domain.views import view_summary

MAX_BODY_BYTES = 64 * 1024

_PURPOSE = b"dspy-service/webhook-secret/1"
"""Keeps these secrets apart from everything else that the same key makes."""

_LARGE_FIELDS = ("optimizer_kwargs", "compile_kwargs", "latest_metrics", "metadata", "message")
"""What a user or a program filled as it liked; the other fields are small."""


def tenant_secret(key: bytes, tenant: str) -> bytes:
    """Return the 32 bytes that sign what a tenant is told; they tell nothing of the service's own key."""
    return hmac.digest(key, b"\0".join((_PURPOSE, tenant.encode())), hashlib.sha256)


def write_secret(secret: bytes) -> str:
    """Return a secret as libraries for receivers take it: ``whsec_…``."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def end_message(job: Job) -> bytes:
    """Return the body for an ended job, the same one however often it is asked for, of ``MAX_BODY_BYTES`` at most.

    One that would be larger has its large fields left out, one after the other, until it fits.
    """
    data = view_summary(job, job.completed_at or job.created_at).model_dump(mode="json", exclude={"webhook_problem"})
    left_out = iter(_LARGE_FIELDS)
    while len(body := _body(job, data)) > MAX_BODY_BYTES:
        del data[next(left_out)]
    return body


def message_headers(body: bytes, *, secret: bytes, delivery_id: str, sent_at: datetime) -> dict[str, str]:
    """Return the headers of one try: what the message is, and its signature for this id at this time."""
    seconds = int(sent_at.timestamp())
    digest = hmac.digest(secret, b".".join((delivery_id.encode(), str(seconds).encode(), body)), hashlib.sha256)
    return {
        "content-type": "application/json",
        "user-agent": "dspy-service",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _body(job: Job, data: dict[str, object]) -> bytes:
    ended_at = None if job.completed_at is None else write_utc(job.completed_at)
    return pydantic_core.to_json({"type": f"job.{job.status.value}", "timestamp": ended_at, "data": data})
