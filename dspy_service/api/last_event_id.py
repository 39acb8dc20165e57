"""``Last-Event-ID``: where a stream of numbered events resumes."""

from typing import Annotated

from fastapi import Depends, Header

MAX_SEQ = 2**53 - 1  # the largest integer that every JSON parser reads


async def _number(
    last_event_id: Annotated[
        str,
        Header(
            pattern="^[0-9]{0,15}$",
            description="Where a stream resumes; goes before the query. Empty: as if it were not there.",
        ),
    ] = "",
) -> int | None:
    """Return the number; an EventSource that has seen none yet may send an empty one."""
    return int(last_event_id) if last_event_id else None


TheLastEventId = Annotated[int | None, Depends(_number)]
"""The argument by which a route asks for it; None: there is none."""
