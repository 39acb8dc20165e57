"""Turns what DSPy logs and what submitted code prints into log events, up to a cap with a marked cut."""

import contextlib
import io
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator

LOG_CAP_BYTES = 64 * 1024 * 1024
PRINT_CAP_BYTES = 1024 * 1024
MAX_LINE_CHARS = 8 * 1024
"""Of a printed line; a longer one is given in pieces, so that a print without newline cannot fill memory."""
MAX_PRINTED_AT_ONCE = 4 * 1024 * 1024  # characters of one print that are looked at; far beyond the cap

_PATH = re.compile(r'(File ")/[^"\n]*/((?:site-packages|dist-packages|workers|lib/python3\.\d+)/)')
"""A path of this machine in a traceback that DSPy or GEPA logs; its tail is kept."""

Emit = Callable[[str, str, str], None]
"""``(level, logger, message)``."""


class Cap:
    """A budget of bytes; the first entry beyond it is replaced by a mark, later ones vanish."""

    def __init__(self, emit: Emit, *, max_bytes: int, what: str) -> None:
        self._emit = emit
        self._max_bytes = max_bytes
        self._what = what
        self._used = 0
        self._cut = False
        self._lock = threading.Lock()

    def __call__(self, level: str, logger: str, message: str) -> None:
        """Emit the entry if it fits."""
        size = len(message.encode("utf-8", "replace"))
        with self._lock:
            if self._cut:
                return
            fits = self._used + size <= self._max_bytes
            self._used += size
            self._cut = not fits
        if fits:
            self._emit(level, logger, message)
        else:
            limit = self._max_bytes / (1024 * 1024)
            self._emit("WARNING", logger, f"[cut: {self._what} passed {limit:g} MiB; what follows is not kept]")


class LogHandler(logging.Handler):
    """Hands every record on as one entry, with its level and logger."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(logging.INFO)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        """Report ``record``; blank lines, which DSPy logs for looks, are dropped."""
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        except Exception as error:  # noqa: BLE001  # a submitted object's __str__ or a wrong format string
            message = f"<a log record could not be formatted: {type(error).__name__}>"
        text = _PATH.sub(r"\1\2", message.strip("\n\r "))
        if text:
            self._emit(record.levelname, record.name, text)


class LineWriter(io.TextIOBase):
    """A text stream that gives each line to ``emit``; lines of different threads never mix."""

    def __init__(self, emit: Emit, *, name: str, level: str) -> None:
        super().__init__()
        self._emit = emit
        self._name = name
        self._level = level
        self._partial: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a plain attribute
        """Like a real standard stream."""
        return "utf-8"

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Take text; whole lines are reported, the rest waits for its newline."""
        if not isinstance(text, str):
            message = f"write() argument must be str, not {type(text).__name__}"
            raise TypeError(message)
        thread = threading.get_ident()
        with self._lock:
            *lines, rest = (self._partial.pop(thread, "") + text[:MAX_PRINTED_AT_ONCE]).split("\n")
            while len(rest) > MAX_LINE_CHARS:
                lines.append(rest[:MAX_LINE_CHARS])
                rest = rest[MAX_LINE_CHARS:]
            if rest:
                self._partial[thread] = rest
        for line in lines:
            if line.strip():
                self._emit(self._level, self._name, line)
        return len(text)

    def finish(self) -> None:
        """Report lines that never got their newline."""
        with self._lock:
            rests = list(self._partial.values())
            self._partial.clear()
        for rest in rests:
            if rest.strip():
                self._emit(self._level, self._name, rest)


@contextlib.contextmanager
def capture(
    emit: Emit, *, log_cap_bytes: int = LOG_CAP_BYTES, print_cap_bytes: int = PRINT_CAP_BYTES
) -> Iterator[None]:
    """Report logs and prints of this process while the block runs.

    DSPy's loggers do not propagate, so ``dspy`` gets the handler besides the root; its own stderr handler is set aside.
    """
    handler = LogHandler(Cap(emit, max_bytes=log_cap_bytes, what="the log"))
    printed = Cap(emit, max_bytes=print_cap_bytes, what="printed output")
    out, err = LineWriter(printed, name="stdout", level="INFO"), LineWriter(printed, name="stderr", level="WARNING")
    loggers = [logging.getLogger("dspy"), logging.getLogger()]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    streams = sys.stdout, sys.stderr
    for logger in loggers:
        logger.handlers[:] = [handler]
    loggers[0].setLevel(logging.INFO)
    loggers[0].propagate = False  # DSPy's own choice, and made certain: else the root would see a record again
    logging.captureWarnings(capture=True)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        out.finish()
        err.finish()
        logging.captureWarnings(capture=False)
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.propagate = propagate
