"""Points in time as the HTTP contract writes them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema


def write_utc(moment: datetime) -> str:
    """Return ``2025-11-30T07:15:00.000000Z``: UTC, always six decimals, so that texts sort like times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


UtcTime = Annotated[
    datetime,
    PlainSerializer(write_utc, return_type=str, when_used="json-unless-none"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-11-30T07:15:00.000000Z"]}),
]
"""A time that is written by ``write_utc`` in JSON."""
