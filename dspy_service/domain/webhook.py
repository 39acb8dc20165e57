"""Who is told when a job ends, and when, by the rules of Standard Webhooks (https://www.standardwebhooks.com)."""

import random
from typing import Annotated, Final

from pydantic import Field

from dspy_service.domain.schema import Schema

RETRY_SECONDS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Pauses after the first try, the second, …, as the rules name them: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h."""

MOST_TRIES: Final = len(RETRY_SECONDS) + 1

LONGEST_PAUSE_SECONDS: Final = 86_400.0
_SPREAD: Final = 0.1


class Webhook(Schema):
    """Where the end of a job is posted to."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            description="https address that gets a signed POST when the job has ended; http only where the operator "
            "allows that origin. It may hold no user name or password.",
        ),
    ]


class Delivery(Schema):
    """One message that is still to be posted."""

    delivery_id: str
    """Stable over all tries, so that a receiver can tell a repetition; goes out as ``webhook-id``."""
    job_id: str
    tries: Annotated[int, Field(ge=0)]
    """Made so far."""
    first_tried_seconds_ago: Annotated[float, Field(ge=0)] = 0.0


class DeliveryAnswer(Schema):
    """What came of one post."""

    status: int | None
    """HTTP status; None when there was no answer."""
    reason: str = ""
    """Why there was none, as half a sentence."""
    retry_after_seconds: float | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  # HTTP: success

    @property
    def is_final(self) -> bool:
        """Whether trying again is of no use: the receiver has gone for good."""
        return self.status == 410  # noqa: PLR2004  # HTTP: gone


def pause_seconds(tries: int, *, retry_after_seconds: float | None = None) -> float | None:
    """Return how long to wait after a try that failed; None when there is none left.

    A tenth is added at most, by chance, so that the messages of one outage do not all come back at once. A receiver may
    ask for a longer pause, up to a day.

    Args:
        tries: Made so far, this one included; from 1.
        retry_after_seconds: What the receiver asked for.
    """
    if tries > len(RETRY_SECONDS):
        return None
    seconds = RETRY_SECONDS[tries - 1] * random.uniform(1, 1 + _SPREAD)  # noqa: S311  # spreads load, hides nothing
    return max(seconds, min(retry_after_seconds or 0.0, LONGEST_PAUSE_SECONDS))
