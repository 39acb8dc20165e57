"""The event stream on Redis: one connection listens and one reads, however many readers there are."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, NamedTuple

from redis.asyncio.client import PubSub

from dspy_service.adapters.redis.client import RedisClient, answering
from dspy_service.adapters.redis.event_feed import E, EventFeed
from dspy_service.adapters.redis.key_names import EVENTS, log_key
from dspy_service.adapters.redis.records import event_from_entry
from dspy_service.domain.errors import StoreUnavailableError
from dspy_service.domain.events import Event

if TYPE_CHECKING:
    from dspy_service.ports import EventStream

_PAGE = 250  # events: a few milliseconds of parsing, in which no other request is answered
_FIRST_PAGE = 8
_PAGE_BYTES = 64 * 1024  # that a reader who catches up may hold: events can be large, and readers many
_LOGS = 100  # logs that one command asks
_POLL_SECONDS = 1.0
_PING_SECONDS = 5.0
_RETRY_SECONDS = 0.2

_log = logging.getLogger(__name__)


class LogKind(NamedTuple, Generic[E]):
    """Where logs of one kind stand, and how their entries are read."""

    channel: str
    """That tells the ids of whatever was written to."""
    key_of: Callable[[str], str]
    read_entry: Callable[[str, Mapping[str, str]], E]


class RedisLogStream(Generic[E]):
    """Hears on one channel which job, or run, has news, and reads its news once for all of its readers.

    A message only says where to look. Whatever becomes of it, every watched log is looked at each second, so that a
    lost one costs a second and nothing else. The cost of listening does not depend on how many logs are watched, which
    is why this is no blocking XREAD over all of their logs.

    Args:
        url: Of the Redis.
        kind: Which logs.
        window: Events of each watched log that are kept for readers.
        patience_seconds: How long the store may be away before the readers are sent away.
    """

    def __init__(self, url: str, kind: LogKind[E], *, window: int = 1024, patience_seconds: float = 60.0) -> None:
        self._client = RedisClient(url)
        self._kind = kind
        self._window = window
        self._patience_seconds = patience_seconds
        self._feeds: dict[str, EventFeed[E]] = {}
        self._reading = asyncio.Lock()  # one read at a time, so one connection
        self._marked: set[str] = set()
        self._news = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None
        self._is_closed = False
        self._poll_at = 0.0

    async def watch(self, owner_id: str, *, after: int, quiet_seconds: float) -> AsyncGenerator[list[E], None]:
        """Yield what there is, then what comes; see the port."""
        feed = self._join(owner_id)
        try:
            position, count = after, _FIRST_PAGE
            while not feed.reaches_back_to(position) and not self._is_closed:
                page, size = await self._page(owner_id, position, count)
                is_last = len(page) < count
                if page:
                    position = page[-1].seq
                    count = min(2 * count, _PAGE) if size < _PAGE_BYTES else max(count // 2, 1)
                    yield page
                if is_last:
                    position = await self._arrive(feed, position)
            clock = asyncio.get_running_loop().time
            quiet_until = 0.0
            has_caught_up = False
            while not feed.is_closed:
                if news := feed.since(position):
                    position = news[-1].seq
                    yield news
                elif not has_caught_up or clock() >= quiet_until:
                    has_caught_up = True
                    yield []
                else:
                    await feed.change(until=quiet_until)
                    continue
                quiet_until = clock() + quiet_seconds
        finally:
            self._leave(feed)

    async def aclose(self) -> None:
        """End every watch and close the connections."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        await self._client.aclose()

    def _join(self, owner_id: str) -> EventFeed[E]:
        feed = self._feeds.setdefault(owner_id, EventFeed(owner_id, window=self._window))
        feed.readers += 1
        if self._is_closed:
            feed.close()
        elif self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        return feed

    def _leave(self, feed: EventFeed[E]) -> None:
        feed.readers -= 1
        if not feed.readers and self._feeds.get(feed.owner_id) is feed:
            del self._feeds[feed.owner_id]

    async def _arrive(self, feed: EventFeed[E], position: int) -> int:
        """Start the feed at the end of the log, and return where a reader who has seen ``position`` goes on.

        Whatever is written after the read that happens here is announced while the feed has started; what was written
        before, this read finds. When the log ends before the feed begins, it has moved to the artifact store.
        """
        if feed.last is None:
            feed.begin(position)
            await self._read([feed])
        return position if feed.reaches_back_to(position) else feed.first_missing

    async def _page(self, owner_id: str, after: int, count: int) -> tuple[list[E], int]:
        """Return events, and how many characters they have in the store."""
        async with self._reading:
            key = self._kind.key_of(owner_id)
            entries = await self._client.command("XRANGE", key, f"{after + 1}-0", "+", "COUNT", count)
        size = sum(len(text) for _, fields in entries for text in fields.values())
        return [self._kind.read_entry(entry_id, fields) for entry_id, fields in entries], size

    async def _read(self, feeds: Iterable[EventFeed[E]]) -> None:
        """Bring feeds that have started up to the ends of their logs."""
        behind = [feed for feed in feeds if feed.last is not None]
        while behind:
            asked, behind = behind[:_LOGS], behind[_LOGS:]
            async with self._reading:
                behind += await self._read_pages({self._kind.key_of(feed.owner_id): feed for feed in asked})

    async def _read_pages(self, asked: Mapping[str, EventFeed[E]]) -> list[EventFeed[E]]:
        """Add at most one page to each feed, and return those that may have more."""
        ids = [f"{feed.last}-0" for feed in asked.values()]
        found = await self._client.command("XREAD", "COUNT", _PAGE, "STREAMS", *asked, *ids)
        pages = found.items() if isinstance(found, dict) else found or ()  # RESP 3 or 2
        for key, entries in pages:
            asked[key].add([self._kind.read_entry(entry_id, fields) for entry_id, fields in entries])
        return [asked[key] for key, entries in pages if len(entries) == _PAGE]

    async def _listen(self) -> None:
        """Feed the readers until none is left; those whom an error is left for are sent away with it."""
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        while self._feeds:
            try:
                async with self._subscribed() as pubsub, asyncio.TaskGroup() as tasks:
                    hearing = tasks.create_task(self._hear(pubsub))
                    while self._feeds:
                        await self._read_news()
                        heard_at = clock()
                    hearing.cancel()
            except* StoreUnavailableError as errors:
                if clock() - heard_at > self._patience_seconds:
                    self._send_away(errors.exceptions[0])
                    heard_at = clock()
                self._wake_quiet()
                await asyncio.sleep(_RETRY_SECONDS)
            except* Exception as errors:  # noqa: BLE001  # a task's outermost frame: nobody else tells the readers
                _log.exception("The events of all jobs could not be read.")
                self._send_away(errors.exceptions[0])

    async def _read_news(self) -> None:
        """Wait for news and read them; once a second, news or not, look at every log."""
        try:
            async with asyncio.timeout_at(self._poll_at):
                await self._news.wait()
        except TimeoutError:
            self._poll_at = asyncio.get_running_loop().time() + _POLL_SECONDS
            self._marked.update(self._feeds)
            self._wake_quiet()
        feeds = [self._feeds[owner_id] for owner_id in self._marked & self._feeds.keys()]
        self._news.clear()
        self._marked.clear()
        await self._read(feeds)

    async def _hear(self, pubsub: PubSub) -> None:
        """Mark the jobs that were written to.

        Raises:
            StoreUnavailableError: the other side has gone without a word.
        """
        is_asked = False
        while True:
            async with answering(extra_seconds=_PING_SECONDS):
                message = await pubsub.get_message(timeout=_PING_SECONDS)
                if message is None and not is_asked:
                    await pubsub.ping()
            if message is None and is_asked:
                raise StoreUnavailableError("job store")
            is_asked = message is None
            if message is not None and message["type"] == "message":
                self._marked.add(message["data"])
                self._news.set()

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[PubSub]:
        """Listen; from here on nothing is missed, so that looking at every log once finds all there was before."""
        pubsub = self._client.pubsub()
        try:
            async with answering():
                await pubsub.subscribe(self._kind.channel)
            self._marked.update(self._feeds)
            self._news.set()
            yield pubsub
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it bare

    def _wake_quiet(self) -> None:
        """Let readers see how long nothing came, where that is long enough for one of them."""
        now = asyncio.get_running_loop().time()
        for feed in self._feeds.values():
            feed.wake_at(now)

    def _send_away(self, error: BaseException) -> None:
        feeds, self._feeds = self._feeds, {}
        for feed in feeds.values():
            feed.fail(error)


class RedisEventStream(RedisLogStream[Event]):
    """The logs of jobs."""

    def __init__(self, url: str, *, window: int = 1024, patience_seconds: float = 60.0) -> None:
        kind = LogKind(EVENTS, log_key, event_from_entry)
        super().__init__(url, kind, window=window, patience_seconds=patience_seconds)


if TYPE_CHECKING:
    _proof: EventStream = RedisEventStream("redis://")
