"""Ended jobs that somebody wants to hear of, and both ends of a webhook."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dspy_service.domain.job import Job, Outcome
from dspy_service.domain.webhook import DeliveryAnswer, Webhook
from dspy_service.ports import JobStore
from dspy_service.usecases.deliver_webhooks import deliver_webhooks
from tests.support.job_samples import OUTCOME, a_new_job, a_spec
from tests.support.signed import SECRET_KEY

URL = "https://hooks.example/jobs"
TAKEN = DeliveryAnswer(status=204)
BROKEN = DeliveryAnswer(status=500)


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.seconds)


async def an_ended_job(
    jobs: JobStore, *, url: str | None = URL, tenant: str = "local", outcome: Outcome = OUTCOME, **of_spec: object
) -> Job:
    """Run a job to its end; ``url`` is told."""
    spec = a_spec(webhook=None if url is None else Webhook(url=url), **of_spec)
    job, _ = await jobs.create(a_new_job(spec=spec, tenant=tenant))
    claim = await jobs.claim(job.job_id, owner="w1", lease_seconds=60, sandbox_level="L1")
    assert claim is not None
    await jobs.advance(job.job_id, fence=claim.fence)
    return await jobs.finish(job.job_id, fence=claim.fence, outcome=outcome)


@dataclass(frozen=True)
class Post:
    """What was posted."""

    url: str
    body: bytes
    headers: dict[str, str]


@dataclass
class ScriptedSender:
    """Posts to nobody, and answers as it is told."""

    answer: Callable[[str], Awaitable[DeliveryAnswer]]
    posts: list[Post] = field(default_factory=list)
    under_way: int = 0
    peak: int = 0

    async def post(self, url: str, *, body: bytes, headers: dict[str, str]) -> DeliveryAnswer:
        self.posts.append(Post(url, body, headers))
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            return await self.answer(url)
        finally:
            self.under_way -= 1

    async def aclose(self) -> None:
        """Nothing to release."""


def answering(*answers: DeliveryAnswer) -> ScriptedSender:
    """Give each answer once; the last one goes on."""
    left = list(answers)

    async def answer(_url: str) -> DeliveryAnswer:
        return left.pop(0) if len(left) > 1 else left[0]

    return ScriptedSender(answer)


async def taken_when(event: asyncio.Event) -> DeliveryAnswer:
    """Take a post once something has happened."""
    await event.wait()
    return TAKEN


async def holds(value: bool) -> bool:  # noqa: FBT001  # a condition to wait for
    return value


async def deliver(jobs: JobStore, sender: ScriptedSender) -> None:
    """Tell everybody whose time has come."""
    async with asyncio.timeout(5):
        await deliver_webhooks(jobs=jobs, sender=sender, secret_key=SECRET_KEY, look_seconds=0.01)


@dataclass
class Receiver:
    """A loopback server that notes what is posted, and answers with the same bytes each time; b"" is for never."""

    reply: bytes = b"HTTP/1.1 204 No Content\r\n\r\n"
    port: int = 0
    posts: list[Post] = field(default_factory=list)
    connections: int = 0
    endless: bytes = b""
    """Sent after the reply again and again."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            pairs = (line.partition(": ") for line in rest.decode().splitlines() if line)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.posts.append(Post(head.split(b" ")[1].decode(), body, headers))
            writer.write(self.reply)
            while self.endless:
                writer.write(self.endless)
                await writer.drain()
            await reader.read()  # until the other side has closed
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(receiver: Receiver, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Listen on a free port of this machine."""
    server = await asyncio.start_server(receiver.talk, "127.0.0.1", 0, ssl=tls)
    async with server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
