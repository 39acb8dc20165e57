"""Ends a compile for good, and tells the user why in terms of the user's own code.

DSPy swallows every ``Exception`` that a metric or a model raises and goes on with a score of zero; what must end the
job is therefore a ``BaseException``.

::

    BaseException
    └── JobEnd
        ├── Cancelled        the supervisor asked to stop at once
        ├── Stopped          the stage must end early; what it found so far counts
        └── JobFailed        carries the Failure that the job ends with
"""

import traceback
from collections.abc import Iterator
from itertools import islice
from types import TracebackType

from dspy.utils.exceptions import LMError

from dspy_service.domain.job import Failure, TerminationReason
from dspy_service.domain.model_errors import ModelErrorKind
from workers.runner.text import clean, one_line

METRIC_FILE = "<metric_code>"
SIGNATURE_FILE = "<signature_code>"
SUBMITTED_FILES = (METRIC_FILE, SIGNATURE_FILE)

MAX_CAUSES = 5
_NO_THREAD = "can't start new thread"  # CPython's words; the class says nothing
MAX_FRAMES = 50


class JobEnd(BaseException):
    """The compile must stop now; no layer of DSPy may swallow it."""


class Cancelled(JobEnd):
    """The supervisor asked to stop at once."""


class Stopped(JobEnd):
    """The stage must end early: enough is reached or spent. ``reason`` and ``message`` say which."""

    def __init__(self, reason: TerminationReason, message: str) -> None:
        super().__init__(message)
        self.reason: TerminationReason = reason
        self.message = message


class JobFailed(JobEnd):
    """The job cannot go on; ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException, *, kind: str) -> Failure:
    """Describe any exception for the person who wrote the code; ``kind`` is used when the error tells no better one."""
    if isinstance(error, JobEnd):
        return _failure_of_end(error)
    model_error = next((cause for cause in _chain(error) if isinstance(cause, LMError)), None)
    if model_error is not None:
        kind = ModelErrorKind.BUDGET.value if model_error.code == ModelErrorKind.BUDGET else "model_error"
        return Failure(kind=kind, message=model_message(model_error), traceback=user_traceback(error))
    if isinstance(error, MemoryError):
        return Failure(kind="out_of_memory", message="The job needs more memory than a runner may use.")
    if is_starved(error):
        return Failure(kind="too_many_threads", message="The job needs more threads than a runner may have.")
    return Failure(kind=kind, message=describe(error), traceback=user_traceback(error))


def _failure_of_end(end: JobEnd) -> Failure:
    if isinstance(end, JobFailed):
        return end.failure
    if isinstance(end, Stopped):
        return Failure(kind=end.reason, message=one_line(end.message))
    return Failure(kind="cancelled", message="The job was cancelled.")


def is_starved(error: BaseException) -> bool:
    """Whether the machine refused memory or a thread; what DSPy takes for a bad row, and goes on."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _str(error) == _NO_THREAD)


def model_message(error: LMError) -> str:
    """Say in one line which model failed, how, and what to do."""
    text = str(error).rstrip(". ")
    return one_line(
        f"The language model call failed ({error.code or 'error'}): {text}. {ModelErrorKind.of(error.code).remedy}"
    )


def describe(error: BaseException) -> str:
    """Return ``Type: message`` on one line, with the place in the submitted code if there is one."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename in SUBMITTED_FILES:
            place = f" ({frame.filename}, line {frame.lineno})"
    if isinstance(error, SyntaxError) and error.filename in SUBMITTED_FILES:
        place = f" ({error.filename}, line {error.lineno}, column {error.offset})"
        return one_line(f"{type(error).__name__}: {error.msg}{place}")
    text = _str(error)
    return one_line(f"{type(error).__name__}: {text}{place}" if text else f"{type(error).__name__}{place}")


def user_traceback(error: BaseException) -> str:
    """Return a traceback with the frames of the submitted code only, plus the last library line; never our paths."""
    parts = []
    for cause in reversed(list(islice(_chain(error), MAX_CAUSES))):
        lines = ["Traceback (most recent call last):\n", *_user_frames(cause.__traceback__), *_exception_only(cause)]
        parts.append("".join(lines))
    joiner = "\nThe above exception led to the following exception:\n\n"
    return clean(joiner.join(parts)).rstrip("\n")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it, newest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        suppressed = current.__suppress_context__
        current = current.__cause__ or (None if suppressed else current.__context__)


def _user_frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    users = [frame for frame in frames if frame.filename in SUBMITTED_FILES][-MAX_FRAMES:]
    lines = traceback.format_list(users)
    if frames and frames[-1].filename not in SUBMITTED_FILES:
        last = frames[-1]
        lines.append(f'  File "{_short(last.filename)}", line {last.lineno}, in {last.name}\n')
    return lines


def _short(filename: str) -> str:
    """Keep the part of a library path below site-packages, so that no path of the machine is shown."""
    for marker in ("site-packages/", "dist-packages/"):
        _, found, rest = filename.rpartition(marker)
        if found:
            return rest
    return filename.rpartition("/")[2]


def _exception_only(error: BaseException) -> list[str]:
    if isinstance(error, SyntaxError):
        return traceback.format_exception_only(error)
    text = _str(error)
    name = type(error).__qualname__
    return [f"{name}: {text}\n" if text else f"{name}\n"]


def _str(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001  # __str__ is the user's code too
        return f"<its __str__ raised {type(problem).__name__}>"
