"""``If-Match`` and ``If-None-Match``: a change happens only where the caller saw what it changes (RFC 9110, 13.1)."""

import re
from typing import Annotated

from fastapi import Depends, Header

from dspy_service.domain.errors import InvalidRequestError
from dspy_service.usecases.serving.move_alias import ANYWHERE, NOWHERE, Seen

_TAG = re.compile(r'"?([1-9][0-9]{0,15})"?')
_ANY = "*"

_IfMatch = Annotated[
    str | None,
    Header(description='`"<revision>"` as an `ETag` told it: 412 when it stands elsewhere; `*`: it must exist.'),
]
_IfNoneMatch = Annotated[
    str | None,
    Header(description="`*`: it must not exist yet, else 412.", json_schema_extra={"enum": [_ANY]}),
]


def etag(revision: int) -> str:
    """Return the ``ETag`` of a revision."""
    return f'"{revision}"'


async def _seen(if_match: _IfMatch = None) -> Seen:
    """Return what the caller saw; a tag that is none of ours is nowhere."""
    if if_match is None:
        return ANYWHERE
    if if_match.strip() == _ANY:
        return Seen(must_exist=True)
    tag = _TAG.fullmatch(if_match.strip())
    return NOWHERE if tag is None else Seen(revision=int(tag[1]))


async def _seen_or_new(if_match: _IfMatch = None, if_none_match: _IfNoneMatch = None) -> Seen:
    """Return the same for what may be made by the change. Raises InvalidRequestError."""
    seen = await _seen(if_match)
    if if_none_match is None:
        return seen
    if if_none_match.strip() != _ANY:
        raise InvalidRequestError.of("If-None-Match", "must be *, which asks for a new one")
    return Seen(revision=0, must_exist=seen != ANYWHERE)  # both headers together never hold


TheSeen = Annotated[Seen, Depends(_seen)]
TheSeenOrNew = Annotated[Seen, Depends(_seen_or_new)]
"""The arguments by which a route asks for them."""
