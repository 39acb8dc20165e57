"""Moves the last answers of a failed job to its journal in the artifact store: a ``retry`` need not pay for them."""

from dspy_service.domain.artifact_paths import journal_folder
from dspy_service.domain.job import Job
from dspy_service.domain.journal_segment import SegmentHead, encode_segment, next_number, pieces
from dspy_service.ports import ArtifactStore, JournalTail


async def save_journal(job: Job, *, tail: JournalTail, artifacts: ArtifactStore, secret_key: bytes) -> None:
    """Write what stands in the tail to segments of its own; the tail may be dropped after that.

    A worker that dies leaves up to two seconds of answers there. Two who do this at once leave the same answers twice,
    which a journal can bear: the first answer to a key stands.

    Raises:
        StoreUnavailableError: they are still in the tail only.
    """
    _, texts = await tail.answers(job.job_id)
    if not texts:
        return
    paths = await artifacts.list(journal_folder(job.job_id))
    number = next_number(paths, tenant=job.tenant, job_id=job.job_id, fence=job.fence)
    for offset, piece in enumerate(pieces([text.encode() for text in texts])):
        head = SegmentHead(tenant=job.tenant, job_id=job.job_id, fence=job.fence, number=number + offset)
        await artifacts.put(head.path, encode_segment(head, piece, key=secret_key))
