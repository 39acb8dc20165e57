"""A tenant's cached answers, in the form in which the tenant's jobs leave theirs: a job's answers serve its program."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final, Literal

import pydantic_core
from dspy._vendor.lm15.serde import request_to_dict, response_from_dict, response_to_dict  # not in dspy.lm15
from dspy.lm15 import Request, Response

from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError
from dspy_service.domain.journal_entry import JournalEntry
from dspy_service.ports import ResponseCache
from workers.lm.engine import Answered
from workers.lm.keys import call_key

CacheUse = Literal["use", "bypass", "refresh"]
ROLE: Final = "task"
"""The role that a served program's only model has in a job."""

_log: Final = logging.getLogger(__name__)
_RESPONSE: Final = b'"response":'


def key_of(alias: str, request: Request, rollout_id: object, candidate: int) -> str:
    """Return the name of a call's answer; equal to what a job's program gives it."""
    return call_key(alias, request_to_dict(request), rollout_id, candidate)[0]


def entry_of(key: str, alias: str, answered: Answered) -> JournalEntry:
    """Return an answer that was just paid for.

    Raises:
        ValueError: the answer is not valid text.
    """
    return JournalEntry(
        key=key,
        role=ROLE,
        model=alias,
        origin="provider",
        prompt_tokens=answered.tokens.prompt,
        completion_tokens=answered.tokens.completion,
        cost_usd=answered.cost_usd,
        answer=_RESPONSE + pydantic_core.to_json(response_to_dict(answered.response)),
        is_estimated=answered.tokens.is_estimated,
    )


@dataclass(frozen=True)
class Cached:
    """An answer that somebody paid for earlier."""

    entry: JournalEntry
    response: Response


class AnswerCache:
    """Belongs to the event loop on which it is used; keeps answers beside the runs, which do not wait for that.

    Args:
        store: Where they stand.
    """

    def __init__(self, store: ResponseCache) -> None:
        self._store = store
        self._keeping: set[asyncio.Task[None]] = set()

    async def find(self, tenant: str, key: str) -> Cached | None:
        """Return an answer; None also while the store is away, because a second call costs less than a failed run."""
        try:
            text = await self._store.find(tenant, key)
            entry = None if text is None else JournalEntry.parse(text.encode())
        except StoreUnavailableError:
            return None
        except (ValueError, ConfigurationError) as error:  # a newer release's is a miss, too
            _log.warning("The response cache holds something that is no answer: %s", error)
            return None
        if entry is None or entry.key != key or not entry.is_response:
            return None
        response = response_from_dict(pydantic_core.from_json(entry.answer.removeprefix(_RESPONSE)))
        return Cached(entry, response)

    def keep(self, tenant: str, entry: JournalEntry, *, replace: bool = False) -> None:
        """Keep an answer beside what goes on; the first one to a key stands, unless this is to ``replace`` it."""
        task = asyncio.get_running_loop().create_task(self._keep(tenant, entry, replace=replace))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def kept(self) -> None:
        """Wait until everything is kept."""
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self, tenant: str, entry: JournalEntry, *, replace: bool) -> None:
        try:
            await self._store.keep(tenant, entry.key, entry.text().decode(), replace=replace)
        except StoreUnavailableError as error:
            _log.debug("An answer was not kept: %s", error)
