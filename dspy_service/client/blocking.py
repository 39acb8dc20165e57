"""The blocking client."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
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
from dspy_service.client.served_chat import ServedChat
from dspy_service.client.served_programs import ServedPrograms
from dspy_service.client.served_runs import ServedRuns
from dspy_service.domain.events import Event, LogEntry
from dspy_service.domain.keys import USER_SCOPES, Scope

T = TypeVar("T")


class Client:
    """Talks to the service, blocking.

    Args:
        base_url: Where the service listens.
        api_key: ``dsk_…``; without one, DSPY_SERVICE_API_KEY of the environment. A service in open mode needs none.
        timeout_seconds: For one HTTP exchange, not for a job.
        transport: Another way to reach the service, for tests and proxies.
        sleep: Another way to pass the time between polls and retries.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_BASE_URL,
        *,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        url = checked_base_url(base_url)
        self._http = httpx.Client(
            base_url=url,
            headers=headers_with(api_key),
            timeout=timeout_seconds,
            transport=transport,
            trust_env=not is_loopback(url),
        )
        self.programs = ServedPrograms(self._run, self._follow)
        self.chat = ServedChat(self._run, self._follow)
        self.runs = ServedRuns(self._run, self._follow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release connections."""
        self._http.close()

    def health(self) -> Health:
        """Return how the service is, also when it is not well."""
        return self._run(plans.ask(calls.health()))

    def submit(
        self, signature: SignatureLike, metric: MetricLike, dataset: Iterable[Any], **options: Unpack[SubmitOptions]
    ) -> Submitted:
        """Hand in a job; sent again by itself when the connection breaks, never accepted twice.

        Args:
            signature: A ``dspy.Signature`` class, its source, or ``"question -> answer"``.
            metric: A function ``(example, prediction, trace=None)`` that returns a score, or its source.
            dataset: Rows as mappings or ``dspy.Example``.
            options: See ``SubmitOptions``; the default is MIPROv2 with the demo model.

        Raises:
            SourceError: the signature or the metric cannot become source.
            SubmissionError: the arguments do not make a request.
            RequestRejectedError: the service found a mistake; ``problems`` names the fields.
        """
        return self._run(submission(signature, metric, dataset, options))

    def submit_payload(self, body: Mapping[str, object], *, idempotency_key: str | None = None) -> Submitted:
        """Hand in a job whose ``POST /run`` body is made already, for example read from a file."""
        return self._run(handing_in(body, idempotency_key))

    def status(self, job_id: str) -> JobDetail:
        """Return the whole record with events, logs and result."""
        return self._run(plans.ask(calls.status(job_id)))

    def summary(self, job_id: str) -> JobSummary:
        """Return the small record, for polling."""
        return self._run(plans.ask(calls.summary(job_id)))

    def logs(self, job_id: str) -> list[LogEntry]:
        """Return every log line, oldest first."""
        return self._run(plans.ask(calls.logs(job_id)))

    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """Return every event with ``seq > after``, oldest first."""
        return self._run(plans.all_events(job_id, after=after))

    def watch(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Yield every event with ``seq > after`` as it happens, until the job has ended.

        A broken connection is opened again where it broke; nothing is lost or doubled. Numbers that are left out are
        not there any more.

        Raises:
            UnknownJobError: there is no such job, or it was deleted meanwhile.
            ServiceUnreachableError: nobody has answered for a minute.
            ApiError: the service refused.
        """
        return self._follow(Following(job_id, after=after))

    def usage(self, job_id: str) -> UsageView:
        """Return what the job's language models have cost so far, by role and by model."""
        return self._run(plans.ask(calls.usage(job_id)))

    def jobs(self, **options: Unpack[ListOptions]) -> JobList:
        """Return a page of your tenant's jobs, newest first; see ``ListOptions``."""
        return self._run(plans.ask(calls.jobs(query_of(options))))

    def cancel(self, job_id: str) -> JobSummary:
        """End a job with its best program so far; NotYetError when it has ended otherwise."""
        return self._run(plans.ask(calls.steer(job_id, "cancel")))

    def pause(self, job_id: str) -> JobSummary:
        """Stop a job for a while; nothing is lost."""
        return self._run(plans.ask(calls.steer(job_id, "pause")))

    def resume(self, job_id: str) -> JobSummary:
        """Let a paused job go on, perhaps on another worker."""
        return self._run(plans.ask(calls.steer(job_id, "resume")))

    def retry(self, job_id: str) -> JobSummary:
        """Try a failed job again under its id; what its models have answered already costs nothing."""
        return self._run(plans.ask(calls.steer(job_id, "retry")))

    def delete(self, job_id: str) -> None:
        """Delete an ended job with everything that it made."""
        self._run(plans.delete(job_id))

    def artifact(self, job_id: str) -> ArtifactAnswer:
        """Return the compiled program; NotYetError while the job runs, UnknownJobError when it made none."""
        return self._run(plans.ask(calls.artifact(job_id)))

    def artifact_file(self, job_id: str, name: str) -> bytes:
        """Return one file of an ended job; raises as ``artifact`` does.

        Args:
            job_id: Whose.
            name: ``program.pkl``, ``program.json``, ``metadata.json``, ``result.json`` or ``events.jsonl``.
        """
        return self._run(plans.ask(calls.artifact_file(job_id, name)))

    def wait(self, job_id: str, **options: Unpack[WaitOptions]) -> JobDetail:
        """Return the final record once the job has ended; see ``WaitOptions``.

        Raises:
            WaitTimeoutError: the job still runs after ``timeout_seconds``.
            JobFailedError: it ended without success, with ``raise_on_failure=True``.
        """
        return self._run(plans.wait(job_id, **options))

    def create_key(
        self, name: str, *, scopes: Sequence[Scope] = USER_SCOPES, expires_in_seconds: float | None = None
    ) -> CreatedKey:
        """Make a key of your own tenant; its ``token`` is shown this once. Needs the scope ``admin``."""
        return self._run(plans.once(calls.create_key(name, scopes, expires_in_seconds)))

    def keys(self) -> list[ApiKeyView]:
        """Return your tenant's keys, oldest first. Needs the scope ``admin``."""
        return self._run(plans.ask(calls.keys())).data

    def revoke_key(self, key_id: str) -> ApiKeyView:
        """Close a key of your tenant for good. Needs the scope ``admin``."""
        return self._run(plans.ask(calls.revoke_key(key_id)))

    def webhook_secret(self) -> str:
        """Return what your tenant's webhooks are signed with, for a library of Standard Webhooks. Needs ``admin``."""
        return self._run(plans.ask(calls.webhook_secret())).secret

    def load_program(self, job: JobOrBundle, *, destination: str | Path | None = None) -> Any:  # noqa: ANN401  # a dspy.Module
        """Load a job's program (or a bundle's) with plain DSPy; needs ``dspy``, and unpickling runs code.

        Raises:
            ProgramLoadError: DSPy is missing here, or cannot read the program.
        """
        return programs.load_bundle(self.artifact(job) if isinstance(job, str) else job, destination)

    def _follow(self, following: StreamFollowing[EventT]) -> Generator[EventT, None, None]:
        """Yield everything, over as many connections as it takes."""
        while not following.has_ended:
            try:
                yield from self._stream(following)
            except httpx.TransportError as error:
                following.lost(error)
            if not following.has_ended:
                self._sleep(following.pause_seconds)

    def _stream(self, following: StreamFollowing[EventT]) -> Iterator[EventT]:
        """Yield what one connection gives."""
        with self._http.stream(
            following.method,
            following.path,
            content=following.content,
            headers=dict(following.headers),
            timeout=following.timeout(self._http.timeout),
        ) as response:
            if not following.is_open(response):
                response.read()
                following.refused(response)
                return
            following.check(response)
            for message in EventSource(response).iter_sse():
                event = following.take(message)
                if event is not None:
                    yield event
                if following.has_ended:
                    return

    def _run(self, plan: Plan[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = plan.send(reply)
            except StopIteration as stop:
                result: T = stop.value
                return result
            reply = self._perform(step)

    def _perform(self, step: Call[Any] | Pause) -> Reply:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            return self._http.send(request_of(self._http, step))
        except httpx.TransportError as error:
            return error
