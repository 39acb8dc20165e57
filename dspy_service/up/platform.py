"""Starts the store, the workers and the API in this order, watches them, and stops the store last."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError, SandboxUnavailableError
from dspy_service.domain.workers import JOBS_QUEUE, SERVING_QUEUE
from dspy_service.up.binding import base_url, require_free_port, require_loopback
from dspy_service.up.child import Child
from dspy_service.up.commands import (
    SERVING_PROCESSES,
    api_command,
    api_environment,
    worker_command,
    worker_environment,
)
from dspy_service.up.output import HeldOutput
from dspy_service.up.store import require_store

API_GRACE_SECONDS = 5.0
VERBOSE_LEVELS = ("debug", "info")
WATCH_SECONDS = 0.2
READY_SECONDS = 60.0  # a cold import of dspy on a busy machine
SERVING = "serving worker"
WORKER_GRACE_SECONDS = 8.0  # beyond what it may take to hand jobs back or to end answers; idle, it needs one or two


@dataclass(frozen=True)
class Health:
    """What ``/health`` said, as far as the platform reads it."""

    ready: bool
    facts: Mapping[str, object]


class Platform:
    """The running platform; use it as a context manager from the main thread.

    Entering waits until the API is ready to take jobs; leaving stops everything, whatever happened.
    """

    def __init__(self, settings: Settings, *, write: Callable[[str], None]) -> None:
        self._settings = settings
        self._output = HeldOutput(write)
        self._valkey: EmbeddedValkey | None = None
        self._children: list[Child] = []
        self.health: Mapping[str, object] = {}
        """The answer of ``/health`` when the platform became ready."""

    @property
    def base_url(self) -> str:
        """Where the API answers."""
        return base_url(self._settings.host, self._settings.port)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def watch(self) -> None:
        """Keep the parts alive until the caller is interrupted.

        Raises:
            ConfigurationError: a part died again and again; the sentence has its last words.
        """
        while True:
            time.sleep(WATCH_SECONDS)
            self._revive_the_dead()

    def stop(self) -> None:
        """Stop the workers, then the API, through which answers are read to their end, then the store; bounded."""
        graces = {
            "api": API_GRACE_SECONDS,
            SERVING: self._settings.serving_drain_seconds + WORKER_GRACE_SECONDS,
        }
        for child in self._children:
            if child.name != "api":
                child.ask_to_stop()  # all workers at once: no job is to go on while runs end
        while self._children:
            child = self._children.pop(0)  # the API was started last
            child.stop(graces.get(child.name, self._settings.hand_back_seconds + WORKER_GRACE_SECONDS))
        if self._valkey is not None:
            self._valkey.stop()

    def _start(self) -> None:
        settings = self._settings
        if settings.log_level in VERBOSE_LEVELS:
            self._output.release()
        require_free_port(settings.host, settings.port)
        if not settings.redis_url:
            self._valkey = EmbeddedValkey.start(settings.data_dir)
            settings = settings.model_copy(update={"redis_url": self._valkey.url})
        if not require_store(settings).has_keys:
            require_loopback(settings.host)
        inherited = {**os.environ, **exported(settings)}
        workers = {
            "worker": (JOBS_QUEUE, settings.worker_concurrency),
            SERVING: (SERVING_QUEUE, SERVING_PROCESSES),
        }
        for name, (queue, concurrency) in workers.items():
            self._launch(
                name,
                worker_command((queue,), concurrency, log_level=settings.log_level),
                worker_environment(inherited),
            )
        self._launch(
            "api",
            api_command(settings.host, settings.port, log_level=settings.log_level),
            api_environment(inherited),
        )
        self._wait_until_ready()

    def _launch(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        child = Child(name, command, environment, write=self._output)
        self._children.append(child)
        child.start()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with httpx.Client(base_url=self.base_url, timeout=2.0, trust_env=False) as http:
            while not (health := ask_health(http)).ready:
                for child in self._children:
                    if not child.running:
                        raise ConfigurationError(
                            f"The {child.name} ended with code {child.returncode} while starting "
                            f"(--verbose shows all that it printed): {child.last_words}"
                        )
                if health.facts.get("error") == SandboxUnavailableError.code:
                    raise ConfigurationError(str(health.facts.get("detail")))
                if time.monotonic() > deadline:
                    reason = health.facts.get("detail") or "it does not answer."
                    raise ConfigurationError(f"The API was not ready within {READY_SECONDS:.0f} s: {reason}")
                time.sleep(WATCH_SECONDS / 4)
        self.health = health.facts
        self._output.release()

    def _revive_the_dead(self) -> None:
        if self._valkey is not None and not self._valkey.running:
            self._output("The embedded Valkey died; starting it again on its data.")
            self._valkey.revive()
        for child in self._children:
            if not child.running and not child.revive_when_due():
                raise ConfigurationError(
                    f"The {child.name} ended again and again (code {child.returncode}): {child.last_words}"
                )


def ask_health(http: httpx.Client) -> Health:
    """Ask once whether jobs and runs would be taken; an API that is not up yet is simply not ready."""
    try:
        answer = http.get("/health")
        facts = answer.json()
    except (httpx.TransportError, ValueError):
        return Health(ready=False, facts={})
    facts = facts if isinstance(facts, dict) else {}
    serving = facts.get("serving")  # is not told to strangers
    serves = not isinstance(serving, dict) or bool(serving.get("live"))
    return Health(ready=answer.status_code == httpx.codes.OK and serves, facts=facts)


def exported(settings: Settings) -> dict[str, str]:
    """Return the environment variables by which the children see what this process decided."""
    return {
        "DSPY_SERVICE_HOST": settings.host,
        "DSPY_SERVICE_PORT": str(settings.port),
        "DSPY_SERVICE_REDIS_URL": settings.redis_url,
        "DSPY_SERVICE_DATA_DIR": str(settings.data_dir),
        "DSPY_SERVICE_ARTIFACTS_URL": settings.artifacts_url,
        "DSPY_SERVICE_SANDBOX_MIN_LEVEL": settings.sandbox_min_level,
        "DSPY_SERVICE_WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "DSPY_SERVICE_LOG_LEVEL": settings.log_level,
        "PYTHONUNBUFFERED": "1",
    }
