"""The frames with which a supervisor gives a runner its job."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pydantic_core

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.frames import encode, pack
from dspy_service.domain.job import Claim
from dspy_service.domain.spec import Row
from workers.supervisor.limits import SupervisionLimits

_ROWS_FRAME_BYTES: Final = 960 * 1024  # with its frame around it, at most 1 MiB


def spec_frame(
    claim: Claim,
    *,
    module: ModuleEntry,
    optimizer: OptimizerEntry,
    roles: Mapping[str, Mapping[str, Any]],
    limits: SupervisionLimits,
) -> bytes:
    """Return the ``spec`` frame.

    Raises:
        ProtocolError: it would be larger than a frame may be.
    """
    return encode(
        {
            "t": "spec",
            "job_id": claim.job.job_id,
            "spec": claim.spec.model_dump(mode="json"),
            "module": module.model_dump(mode="json"),
            "optimizer": optimizer.model_dump(mode="json"),
            "roles": roles,
            "num_threads": limits.num_threads,
            "caps": {
                "frame_bytes": limits.frame_bytes,
                "log_bytes": limits.log_bytes,
                "output_bytes": limits.output_bytes,
            },
        }
    )


def rows_frames(rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield ``rows`` frames of about 1 MiB; a single larger row has one for itself. The last one says so."""
    batch: list[bytes] = []
    size = 0
    for row in rows:
        encoded = pydantic_core.to_json(row)
        if batch and size + len(encoded) > _ROWS_FRAME_BYTES:
            yield _rows_frame(batch, last=False)
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded) + 1
    yield _rows_frame(batch, last=True)


def _rows_frame(rows: Sequence[bytes], *, last: bool) -> bytes:
    return pack(b'{"t":"rows","last":%b,"rows":[%b]}' % (b"true" if last else b"false", b",".join(rows)))
