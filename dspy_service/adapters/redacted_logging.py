"""Takes secrets out of every log record of this process, before any handler sees it.

It is done where records are made, and not by a filter on the root logger: a filter there sees no record of another
logger, and the handlers of uvicorn and Celery are not the root's.
"""

import logging
import traceback
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from dspy_service.config import Settings
from dspy_service.domain.redaction import MIN_SECRET_LENGTH, redact

_FORMATTED_BY_PARTS = "uvicorn.access"  # its formatter takes the arguments apart


class RedactingFactory:
    """Makes log records as the factory before it did, without secrets."""

    def __init__(self, make: Any) -> None:  # noqa: ANN401  # logging's own annotation
        self._make = make
        self._values: tuple[str, ...] = ()

    def hide(self, values: Iterable[str]) -> None:
        """Add values that must never appear; the longest are replaced first, because one may be a part of another."""
        known = {*self._values, *(value for value in values if len(value) >= MIN_SECRET_LENGTH)}
        self._values = tuple(sorted(known, key=len, reverse=True))

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401  # as logging calls it
        """Make one record."""
        record: logging.LogRecord = self._make(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None and record.exc_text is None:
            record.exc_text = self._clean("".join(traceback.format_exception(record.exc_info[1])).rstrip("\n"))
        if isinstance(record.args, tuple):
            record.args = tuple(self._clean_argument(each) for each in record.args)
        if record.name != _FORMATTED_BY_PARTS:
            self._clean_message(record)
        return record

    def _clean_message(self, record: logging.LogRecord) -> None:
        """Look at the finished text too: a pattern may lie across the message and its arguments."""
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # whatever an argument raises; logging reports it when it formats the record
            return
        clean = self._clean(text)
        if clean != text:
            record.msg, record.args = clean, ()

    def _clean_argument(self, value: object) -> object:
        if isinstance(value, bool | int | float | None):
            return value
        try:
            text = str(value)
        except Exception:  # noqa: BLE001  # an argument's own method; logging reports it when it formats the record
            return value
        clean = self._clean(text)
        return value if clean == text else clean

    def _clean(self, text: str) -> str:
        return redact(text, self._values)


def hide_secrets_in_logs(values: Iterable[str]) -> None:
    """Redact every log record of this process from now on; called again, it adds values."""
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, RedactingFactory):
        factory = RedactingFactory(factory)
        logging.setLogRecordFactory(factory)
    factory.hide(values)


def secret_values(settings: Settings) -> tuple[str, ...]:
    """Return what the settings keep secret: the service's own key, and the passwords inside of addresses."""
    found = [] if settings.secret_key is None else [settings.secret_key.get_secret_value()]
    for url in (settings.redis_url, settings.artifacts_url):
        password = urlsplit(url).password
        if password:
            found += [password, unquote(password)]
    return tuple(found)
