"""How long a page of `GET /jobs` takes with 100 000 finished jobs, and what such a job costs in the store.

One tenant's jobs fill a real embedded Valkey: eight of ten succeeded, the others failed or were cancelled. Pages begin
anywhere and are asked for one after the other, once in the store and once of a real API process:

* without a filter, and with filters that most jobs pass, that few pass, or only a single one of all;
* with a filter on metadata that hardly any job passes, one call looks at a bounded number of jobs.

Then how long a free slot takes to find its next job among 10 000 that wait, of 1000 tenants.
"""

import argparse
import asyncio
import gc
import http.client
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import redis.asyncio as redis
import uuid_utils

from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.finished_jobs import FAILED, TENANT, a_finished_job, a_new_job, path_for, sample_jobs
from benchmarks.support.many_jobs import Traces, read_traces, write_copies
from benchmarks.support.measured_platform import lone_api
from dspy_service.adapters.embedded_valkey import EmbeddedValkey
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.job import JobStatus
from dspy_service.domain.job_filter import JobFilter
from dspy_service.ports import JobStore

LIMITS = (20, 100)
TENANTS, WAITING_EACH = 1000, 10
FILTERS = {
    "none": JobFilter(),
    "status=success (most)": JobFilter(status=JobStatus.SUCCESS),
    "status=cancelled (few)": JobFilter(status=JobStatus.CANCELLED),
    "optimizer=gepa": JobFilter(optimizer="gepa"),
    "metadata": JobFilter(metadata={"team": "team-3"}),
    "status, optimizer, metadata": JobFilter(status=JobStatus.FAILED, optimizer="gepa", metadata={"team": "team-3"}),
    "metadata of a single job": JobFilter(metadata={"ticket": "7"}),
}
_LINE = "{:<30} {:>6} {:>8} {:>8} {:>10}"


def main() -> None:
    """Fill a store, measure, and print the figures."""
    options = _parse()
    print_machine(f"{options.jobs} finished jobs of one tenant")
    with tempfile.TemporaryDirectory(prefix="dspy-benchmark-") as name:
        folder = Path(name)
        with EmbeddedValkey.start(folder / "data") as server:
            ids = asyncio.run(_fill_and_weigh(server.url, options.jobs))
            gc.collect()
            gc.freeze()  # as the API does when it has started
            print("\nin the store")
            asyncio.run(_measure_store(server.url, ids, options.pages))
            print("\nof the API")
            with lone_api(server.url, folder) as port:
                _measure_api(port, ids, options.pages)
            print(f"\nthe queue with {TENANTS * WAITING_EACH} jobs that wait, of {TENANTS} tenants")
            asyncio.run(_measure_queue(server.url, options.pages))


async def _fill_and_weigh(url: str, jobs: int) -> list[str]:
    store = RedisJobStore(url)
    async with redis.Redis.from_url(url, decode_responses=True) as raw:
        try:
            before = int((await raw.info("memory"))["used_memory"])
            ids = await _fill(store, raw, jobs)
            used = int((await raw.info("memory"))["used_memory"]) - before
        finally:
            await store.aclose()
    print(f"\n{used / len(ids):.0f} bytes per finished job ({used / 2**20:.1f} MiB in all)")
    return ids


async def _fill(store: JobStore, raw: redis.Redis, jobs: int) -> list[str]:
    """Put finished jobs of all kinds into the store, mixed, and return their ids."""
    samples: list[tuple[Traces, str]] = []
    for kind in sample_jobs():
        job = await a_finished_job(store, kind)
        samples.append((await read_traces(raw, job.job_id, job.dataset_path), job.job_id))
    ids = [sample_id for _, sample_id in samples]
    single = await a_finished_job(store, sample_jobs()[0], **FILTERS["metadata of a single job"].metadata)
    new_ids = [str(uuid_utils.uuid7()) for _ in range(jobs - len(ids) - 1)]
    for number, (sample, sample_id) in enumerate(samples):
        names = [(job_id, path_for(job_id)) for job_id in new_ids[number :: len(samples)]]
        await write_copies(raw, sample, sample_id, names)
    return [*ids, single.job_id, *new_ids]


async def _measure_store(url: str, ids: Sequence[str], pages: int) -> None:
    store = RedisJobStore(url)
    draw = random.Random(7)  # noqa: S311  # the same pages each time, no secret
    _print_head()
    for name, wanted in FILTERS.items():
        for limit in LIMITS:
            took_ms, shown = [], 0
            for _ in range(pages):
                after = draw.choice(ids)
                began = time.perf_counter()
                page = await store.page(TENANT, wanted=wanted, after=after, limit=limit)
                took_ms.append(1000 * (time.perf_counter() - began))
                shown += len(page.jobs)
            _print_line(name, limit, took_ms, f"{shown / pages:.1f}")
    await store.aclose()


def _measure_api(port: int, ids: Sequence[str], pages: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    draw = random.Random(7)  # noqa: S311  # the same pages each time, no secret
    _print_head("KiB/page")
    for name, wanted in FILTERS.items():
        for limit in LIMITS:
            took_ms, size = [], 0
            for _ in range(pages):
                path = "/jobs?" + urlencode({"limit": limit, "after": draw.choice(ids), **_query(wanted)})
                began = time.perf_counter()
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                took_ms.append(1000 * (time.perf_counter() - began))
                if answer.status != http.HTTPStatus.OK:
                    raise SystemExit(f"GET {path} answered {answer.status}: {body[:300]!r}")
                size += len(body)
            _print_line(name, limit, took_ms, f"{size / pages / 1024:.1f}")
    connection.close()


def _query(wanted: JobFilter) -> dict[str, str]:
    query = {"status": wanted.status, "optimizer": wanted.optimizer}
    pairs = {f"metadata[{name}]": value for name, value in wanted.metadata.items()}
    return {name: value for name, value in query.items() if value is not None} | pairs


async def _measure_queue(url: str, count: int) -> None:
    store = RedisJobStore(url)
    await _fill_queue(store)
    _print_head("")
    for name, step in (("the next job", store.next_job), ("figures", store.figures)):
        took_ms = []
        for _ in range(count):
            began = time.perf_counter()
            await step()
            took_ms.append(1000 * (time.perf_counter() - began))
        _print_line(name, 1, took_ms, "")
    await store.aclose()


async def _fill_queue(store: JobStore) -> None:
    """Let every tenant wait with a few jobs; each was served before."""
    for number in range(TENANTS):
        ids = [str(uuid_utils.uuid7()) for _ in range(WAITING_EACH + 1)]
        for job_id in ids:
            await store.create(a_new_job(job_id, f"t{number}", "miprov2", {}))
        claim = await store.claim(ids[0], owner="w", lease_seconds=15, sandbox_level="L2")
        if claim is not None:
            await store.finish(ids[0], fence=claim.fence, outcome=FAILED)


def _print_head(last: str = "jobs/page") -> None:
    print(_LINE.format("filter", "limit", "p50 ms", "p99 ms", last))


def _print_line(name: str, limit: int, took_ms: list[float], last: str) -> None:
    print(_LINE.format(name, limit, f"{percentile(took_ms, 50):.2f}", f"{percentile(took_ms, 99):.2f}", last))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.job_list", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000, help="finished jobs (default 100000)")
    parser.add_argument("--pages", type=int, default=1000, help="pages of each kind (default 1000)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
