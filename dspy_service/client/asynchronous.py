"""The asynchronous client: the same plans as the blocking one, performed on an event loop."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource

from dspy_service.client import calls, plans, programs
from dspy_service.client.answers import (
    ApiKeyView,
    ArtifactAnswer,
    CreatedKey,
    Health,
    JobDetail,
    JobList,
    JobSummary,
    Submitted,
    UsageView,
)
from dspy_service.client.api_key import headers_with
from dspy_service.client.calls import Call
from dspy_service.client.following import EventT, Following, StreamFollowing
from dspy_service.client.options import (
    DEFAULT_BASE_URL,
    DEFAULT_TIMEOUT_SECONDS,
    JobOrBundle,
    ListOptions,
    WaitOptions,
    checked_base_url,
    handing_in,
    is_loopback,
    query_of,
    request_of,
    submission,
)
from dspy_service.client.payload import MetricLike, SignatureLike, SubmitOptions
from dspy_service.client.plans import Pause, Plan, Reply
from dspy_service.client.served_chat import AsyncServedChat
from dspy_service.client.served_programs import AsyncServedPrograms
from dspy_service.client.served_runs import AsyncServedRuns
from dspy_service.domain.events import Event, LogEntry
from dspy_service.domain.keys import USER_SCOPES, Scope

T = TypeVar("T")


class AsyncClient:
    """The same as ``Client``, for event loops; ``on_progress`` is still a plain function."""

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        url = checked_base_url(base_url)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers_with(api_key),
            timeout=timeout_seconds,
            transport=transport,
            trust_env=not is_loopback(url),
        )
        self.programs = AsyncServedPrograms(self._run, self._follow)
        self.chat = AsyncServedChat(self._run, self._follow)
        self.runs = AsyncServedRuns(self._run, self._follow)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def health(self) -> Health:
        """As ``Client.health``."""
        return await self._run(plans.ask(calls.health()))

    async def submit(
        self, signature: SignatureLike, metric: MetricLike, dataset: Iterable[Any], **options: Unpack[SubmitOptions]
    ) -> Submitted:
        """As ``Client.submit``."""
        return await self._run(submission(signature, metric, dataset, options))

    async def submit_payload(self, body: Mapping[str, object], *, idempotency_key: str | None = None) -> Submitted:
        """As ``Client.submit_payload``."""
        return await self._run(handing_in(body, idempotency_key))

    async def status(self, job_id: str) -> JobDetail:
        """As ``Client.status``."""
        return await self._run(plans.ask(calls.status(job_id)))

    async def summary(self, job_id: str) -> JobSummary:
        """As ``Client.summary``."""
        return await self._run(plans.ask(calls.summary(job_id)))

    async def logs(self, job_id: str) -> list[LogEntry]:
        """As ``Client.logs``."""
        return await self._run(plans.ask(calls.logs(job_id)))

    async def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """As ``Client.events``."""
        return await self._run(plans.all_events(job_id, after=after))

    async def watch(self, job_id: str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """As ``Client.watch``; close the generator when you stop early."""
        async with aclosing(self._follow(Following(job_id, after=after))) as events:
            async for event in events:
                yield event

    async def usage(self, job_id: str) -> UsageView:
        """As ``Client.usage``."""
        return await self._run(plans.ask(calls.usage(job_id)))

    async def jobs(self, **options: Unpack[ListOptions]) -> JobList:
        """As ``Client.jobs``."""
        return await self._run(plans.ask(calls.jobs(query_of(options))))

    async def cancel(self, job_id: str) -> JobSummary:
        """As ``Client.cancel``."""
        return await self._run(plans.ask(calls.steer(job_id, "cancel")))

    async def pause(self, job_id: str) -> JobSummary:
        """As ``Client.pause``."""
        return await self._run(plans.ask(calls.steer(job_id, "pause")))

    async def resume(self, job_id: str) -> JobSummary:
        """As ``Client.resume``."""
        return await self._run(plans.ask(calls.steer(job_id, "resume")))

    async def retry(self, job_id: str) -> JobSummary:
        """As ``Client.retry``."""
        return await self._run(plans.ask(calls.steer(job_id, "retry")))

    async def delete(self, job_id: str) -> None:
        """As ``Client.delete``."""
        await self._run(plans.delete(job_id))

    async def artifact(self, job_id: str) -> ArtifactAnswer:
        """As ``Client.artifact``."""
        return await self._run(plans.ask(calls.artifact(job_id)))

    async def artifact_file(self, job_id: str, name: str) -> bytes:
        """As ``Client.artifact_file``."""
        return await self._run(plans.ask(calls.artifact_file(job_id, name)))

    async def wait(self, job_id: str, **options: Unpack[WaitOptions]) -> JobDetail:
        """As ``Client.wait``."""
        return await self._run(plans.wait(job_id, **options))

    async def create_key(
        self, name: str, *, scopes: Sequence[Scope] = USER_SCOPES, expires_in_seconds: float | None = None
    ) -> CreatedKey:
        """As ``Client.create_key``."""
        return await self._run(plans.once(calls.create_key(name, scopes, expires_in_seconds)))

    async def keys(self) -> list[ApiKeyView]:
        """As ``Client.keys``."""
        return (await self._run(plans.ask(calls.keys()))).data

    async def revoke_key(self, key_id: str) -> ApiKeyView:
        """As ``Client.revoke_key``."""
        return await self._run(plans.ask(calls.revoke_key(key_id)))

    async def webhook_secret(self) -> str:
        """As ``Client.webhook_secret``."""
        return (await self._run(plans.ask(calls.webhook_secret()))).secret

    async def load_program(self, job: JobOrBundle, *, destination: str | Path | None = None) -> Any:  # noqa: ANN401  # a dspy.Module
        """As ``Client.load_program``; the import of DSPy happens in a thread."""
        bundle = await self.artifact(job) if isinstance(job, str) else job
        return await asyncio.to_thread(programs.load_bundle, bundle, destination)

    async def _follow(self, following: StreamFollowing[EventT]) -> AsyncGenerator[EventT, None]:
        """Yield everything, over as many connections as it takes."""
        while not following.has_ended:
            try:
                async with aclosing(self._stream(following)) as events:
                    async for event in events:
                        yield event
            except httpx.TransportError as error:
                following.lost(error)
            if not following.has_ended:
                await self._sleep(following.pause_seconds)

    async def _stream(self, following: StreamFollowing[EventT]) -> AsyncGenerator[EventT, None]:
        """Yield what one connection gives."""
        async with self._http.stream(
            following.method,
            following.path,
            content=following.content,
            headers=dict(following.headers),
            timeout=following.timeout(self._http.timeout),
        ) as response:
            if not following.is_open(response):
                await response.aread()
                following.refused(response)
                return
            following.check(response)
            async with aclosing(EventSource(response).aiter_sse()) as messages:
                async for message in messages:
                    event = following.take(message)
                    if event is not None:
                        yield event
                    if following.has_ended:
                        return

    async def _run(self, plan: Plan[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = plan.send(reply)
            except StopIteration as stop:
                result: T = stop.value
                return result
            reply = await self._perform(step)

    async def _perform(self, step: Call[Any] | Pause) -> Reply:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            return await self._http.send(request_of(self._http, step))
        except httpx.TransportError as error:
            return error
