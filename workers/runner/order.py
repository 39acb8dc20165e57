"""The job as the supervisor hands it over: spec, catalogue entries, models and rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic_core

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.frames import Frame
from dspy_service.domain.schema import Schema
from dspy_service.domain.spec import JobSpec, Row
from workers.runner.capture import LOG_CAP_BYTES, PRINT_CAP_BYTES
from workers.runner.channel import Channel

DEFAULT_THREADS = 8

SchemaT = TypeVar("SchemaT", bound=Schema)


@dataclass(frozen=True)
class Order:
    """Everything that a compile needs to know."""

    job_id: str
    spec: JobSpec
    module: ModuleEntry
    optimizer: OptimizerEntry
    roles: Mapping[str, Mapping[str, Any]]
    """Role to model alias, options and capabilities; no key, no address."""
    num_threads: int
    rows: tuple[Row, ...]
    log_bytes: int = LOG_CAP_BYTES
    output_bytes: int = PRINT_CAP_BYTES


def receive(channel: Channel) -> Order:
    """Wait for the ``spec`` frame and all ``rows`` frames.

    Raises:
        ProtocolError: frames in another order.
    """
    head = channel.inbox.get()
    if head["t"] != "spec":
        message = f"Expected a 'spec' frame, got {head['t']!r}."
        raise ProtocolError(message)
    rows: list[Row] = []
    last = False
    while not last:
        frame = channel.inbox.get()
        if frame["t"] != "rows":
            message = f"Expected a 'rows' frame, got {frame['t']!r}."
            raise ProtocolError(message)
        rows.extend(frame["rows"])
        last = bool(frame["last"])
    channel.max_frame_bytes = int(_caps(head).get("frame_bytes", channel.max_frame_bytes))
    return _order(head, tuple(rows))


def _order(head: Frame, rows: tuple[Row, ...]) -> Order:
    return Order(
        job_id=str(head["job_id"]),
        spec=_read(JobSpec, head["spec"]),
        module=_read(ModuleEntry, head["module"]),
        optimizer=_read(OptimizerEntry, head["optimizer"]),
        roles=head["roles"],
        num_threads=int(head.get("num_threads") or DEFAULT_THREADS),
        rows=rows,
        **{name: int(_caps(head)[name]) for name in ("log_bytes", "output_bytes") if name in _caps(head)},
    )


def _caps(head: Frame) -> Mapping[str, int]:
    caps: Mapping[str, int] = head.get("caps") or {}
    return caps


def _read(schema: type[SchemaT], data: object) -> SchemaT:
    """Validate as JSON: strict models take a list for a tuple only there."""
    return schema.model_validate_json(pydantic_core.to_json(data))
