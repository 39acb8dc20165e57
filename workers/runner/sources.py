"""Loads submitted source the way a module is imported, so that typing, pickling and tracebacks work.

A module stands in ``sys.modules`` before its source runs (else ``from __future__ import annotations`` leaves its types
unresolved) and its lines in ``linecache`` (else tracebacks show no code, and MIPROv2's proposer reads no program).
"""

import linecache
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import dspy

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.job import Failure
from dspy_service.domain.sources import METRIC_FIELD, MetricFacts, SignatureFacts, read_sources
from workers.runner.failures import METRIC_FILE, SIGNATURE_FILE, Cancelled, JobFailed, failure_of

SIGNATURE_MODULE = "submitted_signature"
METRIC_MODULE = "submitted_metric"


@dataclass(frozen=True)
class Submitted:
    """What the two sources define."""

    signature: type[Any]
    """A subclass of ``dspy.Signature``."""
    metric: Callable[..., Any]


def load(signature_code: str, metric_code: str, *, metric_arity: int) -> Submitted:
    """Run both sources and pick what submit picked, by the same rules.

    Raises:
        JobFailed: a source raises, or does not define what it must; kind ``signature_error`` or ``metric_error``.
    """
    signature_facts, metric_facts = _read(signature_code, metric_code, metric_arity)
    module = _run(signature_code, name=SIGNATURE_MODULE, filename=SIGNATURE_FILE, kind="signature_error")
    signature = module.__dict__.get(signature_facts.name)
    if not (isinstance(signature, type) and issubclass(signature, dspy.Signature)):
        message = f"signature_code leaves {signature_facts.name} as something else than a dspy.Signature."
        raise JobFailed(Failure(kind="signature_error", message=message))
    module = _run(metric_code, name=METRIC_MODULE, filename=METRIC_FILE, kind="metric_error")
    metric = module.__dict__.get(metric_facts.name)
    if not callable(metric):
        message = f"metric_code leaves {metric_facts.name} as something that cannot be called."
        raise JobFailed(Failure(kind="metric_error", message=message))
    return Submitted(signature, metric)


def _read(signature_code: str, metric_code: str, arity: int) -> tuple[SignatureFacts, MetricFacts]:
    try:
        return read_sources(signature_code, metric_code, arity=arity)
    except (InvalidRequestError, UnsupportedRequestError) as error:
        fields = [p.field for p in error.problems] if isinstance(error, InvalidRequestError) else [error.field]
        kind = "metric_error" if fields == [METRIC_FIELD] else "signature_error"
        raise JobFailed(Failure(kind=kind, message=str(error))) from error


def forget() -> None:
    """Take the submitted modules out of ``sys.modules`` and ``linecache``."""
    for name, filename in ((SIGNATURE_MODULE, SIGNATURE_FILE), (METRIC_MODULE, METRIC_FILE)):
        sys.modules.pop(name, None)
        linecache.cache.pop(filename, None)


def _run(source: str, *, name: str, filename: str, kind: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = filename
    module.__dict__.update({word: getattr(typing, word) for word in typing.__all__})
    module.__dict__["dspy"] = dspy
    sys.modules[name] = module
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  # running submitted code is this process's purpose
    except Cancelled:
        raise
    except BaseException as error:
        raise JobFailed(failure_of(error, kind=kind)) from error
    return module
