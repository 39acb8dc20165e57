"""The connection to Redis: bounded in time, and the only place that knows its errors."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.commands.core import AsyncScript

from dspy_service.adapters.redis.lua import script_source
from dspy_service.domain.errors import ConfigurationError, StoreUnavailableError

_DEADLINE_SECONDS = 2.5  # whatever happens below, a caller hears within three seconds
_SOCKET_SECONDS = 2.0
_MAX_CONNECTIONS = 64
_NO_ANSWER = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    OSError,
)
_REFUSALS = ("MISCONF", "NOREPLICAS", "MASTERDOWN", "NOPERM", "NOAUTH", "BUSY", "TRYAGAIN", "CLUSTERDOWN")
"""Answers of a server that lives but cannot take a write: a full disk, no replica, a wrong ACL, a long script."""


class RedisClient:
    """A pool of connections and the scripts that run on them."""

    def __init__(self, url: str) -> None:
        pool = connection_pool(url)
        self._redis = redis.Redis.from_pool(pool)
        self._scripts: dict[str, AsyncScript] = {}

    async def run(self, verb: str, *, keys: Sequence[str], args: Iterable[str | int] = ()) -> Any:  # noqa: ANN401  # likewise
        """Run one script and return its answer, or raise StoreUnavailableError."""
        if verb not in self._scripts:
            self._scripts[verb] = self._redis.register_script(script_source(verb))
        async with answering():
            return await self._scripts[verb](keys=list(keys), args=list(args))

    async def command(self, name: str, *args: str | int) -> Any:  # noqa: ANN401  # as many shapes as commands
        """Send one command and return its answer, or raise StoreUnavailableError."""
        async with answering():
            return await self._redis.execute_command(name, *args)  # type: ignore[no-untyped-call]  # redis-py leaves it bare

    def pubsub(self) -> PubSub:
        """Return a listener, which takes a connection of its own when it subscribes."""
        return self._redis.pubsub()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose()


def connection_pool(url: str) -> redis.BlockingConnectionPool:
    """Return a pool whose connections give up in time.

    Raises:
        ConfigurationError: the address cannot be used.
    """
    # A lost connection is tried again, so that a restart goes unseen; every script can bear to run twice.
    # A silent server is not: a second wait would break the deadline.
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3, supported_errors=(exceptions.ConnectionError,))
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            health_check_interval=0,
            retry=retry,
            decode_responses=True,
        )
    except ValueError as error:
        # Without the address or the reason: both may show the password.
        message = (
            "DSPY_SERVICE_REDIS_URL cannot be used; write redis://[user:password@]host:port/number, "
            "the same with rediss:// for TLS, or unix:///path/to/socket."
        )
        raise ConfigurationError(message) from error
    pool.connection_class = type("Connection", (_OnUvloop, pool.connection_class), {})
    return pool


class _OnUvloop:
    """Mixed into redis-py's connections: a write to one that was reset is an error that is tried again.

    asyncio says ConnectionError there, as redis-py expects. uvloop, which the API runs on, says RuntimeError.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002  # redis-py's own signature
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]  # of the class beside it
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise exceptions.ConnectionError(str(error)) from error


@asynccontextmanager
async def answering(extra_seconds: float = 0.0) -> AsyncIterator[None]:
    """Turn a Redis that is dead, silent, full or read-only into StoreUnavailableError, in time."""
    try:
        with _heeding_cancel():
            async with asyncio.timeout(_DEADLINE_SECONDS + extra_seconds):
                yield
    except _NO_ANSWER as error:
        raise StoreUnavailableError("job store") from error
    except exceptions.ResponseError as error:
        if not str(error).startswith(_REFUSALS):
            raise
        raise StoreUnavailableError("job store") from error


@contextmanager
def _heeding_cancel() -> Iterator[None]:
    """Cancel the task after all when the client has lost the request for it.

    redis-py sends with ``asyncio.wait_for``, which up to Python 3.11 forgets a cancel that comes together with the end
    of what it waits for; a loop that talks to the store would then go on for ever.
    """
    task = asyncio.current_task()
    asked_before = 0 if task is None else task.cancelling()
    try:
        yield
    finally:
        if task is not None and task.cancelling() > asked_before:
            raise asyncio.CancelledError
