"""Says what happens as events; every progress event carries how much time the job still needs."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from dspy_service.domain.events import EventType
from workers.runner.channel import Channel
from workers.runner.text import clean

MAX_VALUE_CHARS = 32 * 1024
"""Of one text inside an event, such as a proposed instruction."""

EtaSource = Callable[[], float | None]


class Reporter:
    """Sends events; cheap, and safe to use from any thread. Metrics given to ``progress`` accumulate."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._eta: EtaSource = _unknown
        self.warnings: list[str] = []
        """Every warning so far, for the job's details."""

    def use_eta(self, source: EtaSource) -> None:
        """Ask ``source`` for the remaining seconds from now on."""
        self._eta = source

    def progress(self, event: str, metrics: Mapping[str, Any] | None = None) -> None:
        """Report one of the contract's progress events."""
        self._send(EventType.PROGRESS, {"event": event, "metrics": plain(metrics or {})}, eta_seconds=self._eta())

    def log(self, level: str, logger: str, message: str) -> None:
        """Report one log entry; ``message`` may have several lines and is still one entry."""
        self._send(
            EventType.LOG,
            {"level": clean(level, max_chars=32), "logger": clean(logger, max_chars=200), "message": clean(message)},
        )

    def trial(self, data: Mapping[str, Any]) -> None:
        """Report the evaluation of one candidate."""
        self._send(EventType.TRIAL, plain(data))

    def candidate(self, data: Mapping[str, Any]) -> None:
        """Report one proposed program."""
        self._send(EventType.CANDIDATE, plain(data))

    def warning(self, code: str, message: str) -> None:
        """Report something that the user should know but that stops nothing."""
        text = clean(message)
        self.warnings.append(text)
        self._send(EventType.WARNING, {"code": code, "message": text})

    def _send(self, kind: EventType, data: Mapping[str, Any], *, eta_seconds: float | None = None) -> None:
        self._channel.note(
            {
                "t": "event",
                "type": kind.value,
                "data": data,
                "occurred_at": datetime.now(UTC).isoformat(),
                "eta_seconds": eta_seconds,
            },
        )


def plain(value: Any) -> Any:  # noqa: ANN401  # any object of a DSPy program
    """Return ``value`` as JSON data: what JSON cannot say becomes its text, or null if it is not finite."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and infinity differ from themselves
    if isinstance(value, str):
        return clean(value, max_chars=MAX_VALUE_CHARS)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return clean(str(value), max_chars=MAX_VALUE_CHARS)


def _unknown() -> float | None:
    return None
