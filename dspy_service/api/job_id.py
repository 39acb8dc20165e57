"""The job id of a path: malformed ones are simply not found."""

import re
from typing import Annotated

from fastapi import Depends, Path

from dspy_service.domain.errors import JobNotFoundError

JOB_ID_PATTERN = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UUID = re.compile(JOB_ID_PATTERN)


async def _checked(job_id: Annotated[str, Path(description="As `POST /run` answered it.")]) -> str:
    if not _UUID.fullmatch(job_id):
        raise JobNotFoundError(job_id[:64])
    return job_id


JobId = Annotated[str, Depends(_checked)]
"""The argument by which a route asks for it."""
