"""Copies of a finished job, written straight into Redis: thousands a second instead of hundreds.

A copy is what the store's scripts leave of such a job, with another id and another dataset. A contract test holds the
two against each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis.asyncio as redis

DATASETS = "{dspy}:datasets"
_BATCH = 500


@dataclass(frozen=True)
class Traces:
    """Everything in Redis that names one job."""

    hashes: Mapping[str, Mapping[str, str]]
    """Its own hashes, by key."""
    scores: Mapping[str, float]
    """Its score in each sorted set, by key."""
    dataset_path: str

    def named(self, names: Mapping[str, str]) -> "Traces":
        """Return the same with other names: of the job, and of its dataset."""

        def renamed(text: str) -> str:
            for old, new in names.items():
                text = text.replace(old, new)
            return text

        return Traces(
            hashes={
                renamed(key): {field: renamed(value) for field, value in fields.items()}
                for key, fields in self.hashes.items()
            },
            scores=self.scores,
            dataset_path=renamed(self.dataset_path),
        )


async def read_traces(raw: redis.Redis, job_id: str, dataset_path: str) -> Traces:
    """Look through the whole store for what names a job.

    Raises:
        ValueError: there is something else than hashes and sorted sets; no copy would be complete.
    """
    hashes, scores = {}, {}
    for key in sorted(await raw.keys("*")):
        kind = await raw.type(key)
        if job_id in key and kind != "hash":
            message = f"a finished job should have no {kind} {key}"
            raise ValueError(message)
        if job_id in key:
            hashes[key] = await raw.hgetall(key)
        elif kind == "zset" and (score := await raw.zscore(key, job_id)) is not None:
            scores[key] = score
        elif kind == "set" and await raw.sismember(key, job_id):
            message = f"a finished job should not be in the set {key}"
            raise ValueError(message)
    return Traces(hashes=hashes, scores=scores, dataset_path=dataset_path)


async def write_copies(raw: redis.Redis, sample: Traces, sample_id: str, names: Sequence[tuple[str, str]]) -> None:
    """Write a copy for each pair of an id and a dataset's path."""
    for start in range(0, len(names), _BATCH):
        async with raw.pipeline(transaction=False) as pipeline:
            for job_id, dataset_path in names[start : start + _BATCH]:
                copy = sample.named({sample_id: job_id, sample.dataset_path: dataset_path})
                for key, fields in copy.hashes.items():
                    pipeline.hset(key, mapping=dict(fields))
                for key, score in copy.scores.items():
                    pipeline.zadd(key, {job_id: score})
                pipeline.hincrby(DATASETS, dataset_path, 1)
            await pipeline.execute()
