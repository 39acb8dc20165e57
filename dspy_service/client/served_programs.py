"""What a client does with served programs, blocking and asynchronous."""

import base64
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from dspy_service.client import plans, program_calls, run_calls
from dspy_service.client.payload import Model
from dspy_service.client.performing import Follows, FollowsAsynchronously, Runs, RunsAsynchronously
from dspy_service.client.plans import Plan
from dspy_service.client.run_following import RunFollowing
from dspy_service.domain.serving.program import PRODUCTION, AdapterName, Alias, ChatMapping
from dspy_service.domain.serving.program_views import ProgramView, VersionList, VersionView
from dspy_service.domain.serving.run import OnDisconnect, RunOptions
from dspy_service.domain.serving.run_events import RunEvent
from dspy_service.domain.serving.run_views import BatchView, PredictionView
from dspy_service.domain.serving.version_difference import VersionDifference
from dspy_service.domain.spec import ModelSettings

_PAGE = 100


class DeployOptions(TypedDict, total=False):
    """What is served, and how.

    Either ``job_id``, or ``program`` and ``program_metadata``: the content of the two files that a job wrote, with its
    ``program_pickle`` where only code can be the program. ``model`` is by default the task model of the job, and
    ``adapter`` that of the optimization, or ``text`` when that is ``chat`` and the only output is a text.
    ``idempotency_key`` makes a second deployment answer with the first version.
    """

    job_id: str
    program: Mapping[str, Any]
    program_metadata: Mapping[str, Any]
    program_pickle: bytes
    model: Model
    adapter: AdapterName
    chat: Mapping[str, Any] | ChatMapping
    metadata: Mapping[str, str]
    idempotency_key: str


class PredictOptions(TypedDict, total=False):
    """How a program is called.

    ``options`` are of one call (``temperature``, ``max_tokens``, ``cache``, …); ``on_disconnect`` says what happens
    when nobody reads any more; ``idempotency_key`` makes a second call answer with the first one's run.
    """

    options: Mapping[str, Any] | RunOptions
    on_disconnect: OnDisconnect
    idempotency_key: str


class ServedPrograms:
    """``client.programs``: deploy, call, look, move aliases."""

    def __init__(self, run: Runs, follow: Follows) -> None:
        self._run = run
        self._follow = follow

    def deploy(self, name: str, **options: Unpack[DeployOptions]) -> VersionView:
        """Make a version of a program and return it; the first one makes the program, and becomes ``production``.

        Raises:
            RequestRejectedError: it cannot be served; the sentence says why.
        """
        return self._run(_deploy(name, options))

    def predict(self, name: str, inputs: Mapping[str, object], **options: Unpack[PredictOptions]) -> PredictionView:
        """Call a program (``name``, ``name@alias``, ``name@v3``) and return its prediction.

        Raises:
            RequestRejectedError: the inputs are not what the program takes; ``problems`` names the fields.
            ApiError: the run failed; ``code`` says how.
        """
        return self._run(_predict(name, inputs, options))

    def predict_batch(
        self, name: str, items: Sequence[Mapping[str, object]], *, idempotency_key: str | None = None
    ) -> BatchView:
        """Call a program with up to a hundred inputs; what is wrong with one stands in its place."""
        return self._run(_predict_batch(name, items, idempotency_key))

    def stream(self, name: str, inputs: Mapping[str, object], **options: Unpack[PredictOptions]) -> Iterator[RunEvent]:
        """Call a program and yield every event of its run, tokens as the model writes them.

        A broken connection is opened again where it broke; nothing is lost or doubled. Raises as ``predict``, but a run
        that failed is an event.
        """
        return self._follow(_stream(name, inputs, options))

    def openapi(self, name: str) -> dict[str, Any]:
        """Return a program's OpenAPI document."""
        return self._run(plans.ask(run_calls.program_document(name)))

    def list(self) -> list[ProgramView]:
        """Return all programs of the tenant, by name."""
        return self._run(_all())

    def get(self, name: str) -> ProgramView:
        """Return a program and its aliases."""
        return self._run(plans.ask(program_calls.program(name)))

    def versions(self, name: str, *, before: int | None = None, limit: int = 20) -> VersionList:
        """Return a page of versions, newest first."""
        return self._run(plans.ask(program_calls.versions(name, _page(before, limit))))

    def version(self, name: str, number: int) -> VersionView:
        """Return one version."""
        return self._run(plans.ask(program_calls.version(name, number)))

    def compare(self, name: str, before: int, after: int) -> VersionDifference:
        """Return what changed from one version to another."""
        return self._run(plans.ask(program_calls.compare(name, before, after)))

    def alias(self, name: str, alias: str = PRODUCTION) -> Alias:
        """Return where an alias stands; its ``revision`` is for ``if_revision``."""
        return self._run(plans.ask(program_calls.alias(name, alias)))

    def move(self, name: str, version: int, *, alias: str = PRODUCTION, if_revision: int | None = None) -> Alias:
        """Point an alias at a version; with ``if_revision``, only where you saw it (0: it must be new)."""
        return self._run(plans.once(program_calls.move_alias(name, alias, version, if_revision=if_revision)))

    def roll_back(self, name: str, *, alias: str = PRODUCTION, if_revision: int | None = None) -> Alias:
        """Point an alias at the version that it named before."""
        return self._run(plans.once(program_calls.roll_back(name, alias, if_revision=if_revision)))

    def delete_alias(self, name: str, alias: str, *, if_revision: int | None = None) -> None:
        """Forget an alias."""
        self._run(plans.once(program_calls.delete_alias(name, alias, if_revision=if_revision)))

    def retire(self, name: str, version: int) -> VersionView:
        """Let no new run use a version."""
        return self._run(plans.ask(program_calls.retire(name, version)))

    def delete_version(self, name: str, version: int) -> None:
        """Delete a retired version with its files."""
        self._run(plans.once(program_calls.delete_version(name, version)))

    def delete(self, name: str) -> None:
        """Delete a program with all its versions; it must have no other alias than ``production``."""
        self._run(plans.once(program_calls.delete(name)))


class AsyncServedPrograms:
    """As ``ServedPrograms``, on the event loop."""

    def __init__(self, run: RunsAsynchronously, follow: FollowsAsynchronously) -> None:
        self._run = run
        self._follow = follow

    async def deploy(self, name: str, **options: Unpack[DeployOptions]) -> VersionView:
        """As ``ServedPrograms.deploy``."""
        return await self._run(_deploy(name, options))

    async def predict(
        self, name: str, inputs: Mapping[str, object], **options: Unpack[PredictOptions]
    ) -> PredictionView:
        """As ``ServedPrograms.predict``."""
        return await self._run(_predict(name, inputs, options))

    async def predict_batch(
        self, name: str, items: Sequence[Mapping[str, object]], *, idempotency_key: str | None = None
    ) -> BatchView:
        """As ``ServedPrograms.predict_batch``."""
        return await self._run(_predict_batch(name, items, idempotency_key))

    def stream(
        self, name: str, inputs: Mapping[str, object], **options: Unpack[PredictOptions]
    ) -> AsyncGenerator[RunEvent, None]:
        """As ``ServedPrograms.stream``; close the generator when you stop early."""
        return self._follow(_stream(name, inputs, options))

    async def openapi(self, name: str) -> dict[str, Any]:
        """As ``ServedPrograms.openapi``."""
        return await self._run(plans.ask(run_calls.program_document(name)))

    async def list(self) -> list[ProgramView]:
        """As ``ServedPrograms.list``."""
        return await self._run(_all())

    async def get(self, name: str) -> ProgramView:
        """As ``ServedPrograms.get``."""
        return await self._run(plans.ask(program_calls.program(name)))

    async def versions(self, name: str, *, before: int | None = None, limit: int = 20) -> VersionList:
        """As ``ServedPrograms.versions``."""
        return await self._run(plans.ask(program_calls.versions(name, _page(before, limit))))

    async def version(self, name: str, number: int) -> VersionView:
        """As ``ServedPrograms.version``."""
        return await self._run(plans.ask(program_calls.version(name, number)))

    async def compare(self, name: str, before: int, after: int) -> VersionDifference:
        """As ``ServedPrograms.compare``."""
        return await self._run(plans.ask(program_calls.compare(name, before, after)))

    async def alias(self, name: str, alias: str = PRODUCTION) -> Alias:
        """As ``ServedPrograms.alias``."""
        return await self._run(plans.ask(program_calls.alias(name, alias)))

    async def move(self, name: str, version: int, *, alias: str = PRODUCTION, if_revision: int | None = None) -> Alias:
        """As ``ServedPrograms.move``."""
        return await self._run(plans.once(program_calls.move_alias(name, alias, version, if_revision=if_revision)))

    async def roll_back(self, name: str, *, alias: str = PRODUCTION, if_revision: int | None = None) -> Alias:
        """As ``ServedPrograms.roll_back``."""
        return await self._run(plans.once(program_calls.roll_back(name, alias, if_revision=if_revision)))

    async def delete_alias(self, name: str, alias: str, *, if_revision: int | None = None) -> None:
        """As ``ServedPrograms.delete_alias``."""
        await self._run(plans.once(program_calls.delete_alias(name, alias, if_revision=if_revision)))

    async def retire(self, name: str, version: int) -> VersionView:
        """As ``ServedPrograms.retire``."""
        return await self._run(plans.ask(program_calls.retire(name, version)))

    async def delete_version(self, name: str, version: int) -> None:
        """As ``ServedPrograms.delete_version``."""
        await self._run(plans.once(program_calls.delete_version(name, version)))

    async def delete(self, name: str) -> None:
        """As ``ServedPrograms.delete``."""
        await self._run(plans.once(program_calls.delete(name)))


def _deploy(name: str, options: DeployOptions) -> Plan[VersionView]:
    body: dict[str, object] = {key: value for key, value in options.items() if key != "idempotency_key"}
    if "model" in options:
        del body["model"]
        body["model_config"] = _settings(options["model"])
    if "program_pickle" in options:
        body["program_pickle_base64"] = base64.b64encode(options["program_pickle"]).decode()
        del body["program_pickle"]
    chat = options.get("chat")
    if isinstance(chat, ChatMapping):
        body["chat"] = chat.model_dump(mode="json")
    key = options.get("idempotency_key") or str(uuid.uuid4())
    return plans.ask(program_calls.deploy(name, body, idempotency_key=key))


def _predict(name: str, inputs: Mapping[str, object], options: PredictOptions) -> Plan[PredictionView]:
    return plans.ask(run_calls.predict(name, _call_body(inputs, options), idempotency_key=_call_key(options)))


def _predict_batch(name: str, items: Sequence[Mapping[str, object]], key: str | None) -> Plan[BatchView]:
    return plans.ask(run_calls.predict_batch(name, items, idempotency_key=key or str(uuid.uuid4())))


def _stream(name: str, inputs: Mapping[str, object], options: PredictOptions) -> RunFollowing:
    call = run_calls.predict_stream(name, _call_body(inputs, options), idempotency_key=_call_key(options))
    return RunFollowing.of_call(call)


def _call_body(inputs: Mapping[str, object], options: PredictOptions) -> dict[str, object]:
    body: dict[str, object] = {"inputs": dict(inputs)}
    if "options" in options:
        asked = options["options"]
        body["options"] = asked.model_dump(mode="json") if isinstance(asked, RunOptions) else dict(asked)
    if "on_disconnect" in options:
        body["on_disconnect"] = options["on_disconnect"]
    return body


def _call_key(options: PredictOptions) -> str:
    return options.get("idempotency_key") or str(uuid.uuid4())


def _settings(model: Model) -> Mapping[str, Any]:
    if isinstance(model, ModelSettings):
        return model.model_dump(mode="json", exclude_none=True)
    return {"name": model} if isinstance(model, str) else dict(model)


def _all() -> Plan[list[ProgramView]]:
    found: list[ProgramView] = []
    params: dict[str, str | int] = {"limit": _PAGE}
    while True:
        page = yield from plans.ask(program_calls.programs(params))
        found += page.data
        if not page.has_more or page.last_name is None:
            return found
        params["after"] = page.last_name


def _page(before: int | None, limit: int) -> Mapping[str, str | int]:
    return {"limit": limit} if before is None else {"limit": limit, "before": before}
