"""How late events reach 500 readers, beside a bare server, and what 1 000 random reconnects lose or double.

One job gets 10 events a second, each of which goes to every reader over its own connection. The lag is the time from
right before an event is written until a reader has it, on one machine. The bare server is the same framework in one
process with one queue for each reader: no store, no numbers, no resuming.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from benchmarks.support.event_crowd import MARK, Seen
from benchmarks.support.event_servers import bare_server, service
from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.measured_platform import ROOT
from dspy_service.adapters.redis.jobs import RedisJobStore
from dspy_service.domain.events import EventType, NewEvent
from dspy_service.domain.job import Claim, JobStatus, Outcome
from tests.support.job_samples import a_new_job

_LINE = "{:<28} {:>8} {:>9} {:>9} {:>8} {:>8} {:>8} {:>5} {:>8}"
_GRACE_SECONDS = 30.0
_REST_SECONDS = 2.0
_RECONNECT_READERS = 20

Write = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Crowd:
    """The process with the readers."""

    process: "subprocess.Popen[bytes]"

    def seen(self) -> Seen:
        """Wait for its end and return what it saw."""
        written, _ = self.process.communicate(timeout=_GRACE_SECONDS + 90)
        return Seen(**json.loads(written))


def main() -> None:
    """Measure both servers in turn, then the reconnects, and print the figures."""
    asked = _parse()
    print_machine(f"event streams, {asked.readers} readers of one job, {asked.rate:g} events/s, {asked.seconds:g} s")
    print(_LINE.format("server", "readers", "messages", "p50 ms", "p99 ms", "max ms", "connects", "lost", "doubled"))
    for _ in range(asked.rounds):
        with bare_server() as url:
            _report("bare", asked.readers, asyncio.run(_measure_bare(url, asked)))
        with service() as (url, store_url):
            _report("service", asked.readers, asyncio.run(_measure_service(url, store_url, asked)))
    with service() as (url, store_url):
        seen = asyncio.run(_measure_reconnects(url, store_url, asked))
        _report("service, random reconnects", _RECONNECT_READERS, seen)


async def _measure_bare(url: str, asked: argparse.Namespace) -> Seen:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:

        async def write(mark: str) -> None:
            await http.post("/publish", content=json.dumps({"message": mark}))

        with _crowd(url, "/events", asked.readers, _count(asked)) as crowd:
            await _write_all(write, _count(asked), per_second=asked.rate)
            return await asyncio.to_thread(crowd.seen)


async def _measure_service(url: str, store_url: str, asked: argparse.Namespace) -> Seen:
    store = RedisJobStore(store_url)
    claim = await _running(store)
    with _crowd(url, f"/jobs/{claim.job.job_id}/events", asked.readers, _count(asked)) as crowd:
        await _write_all(partial(_append, store, claim), _count(asked), per_second=asked.rate)
        seen = await asyncio.to_thread(crowd.seen)
    await _finish(store, claim)
    return seen


async def _measure_reconnects(url: str, store_url: str, asked: argparse.Namespace) -> Seen:
    store = RedisJobStore(store_url)
    claim = await _running(store)
    extra = ("--reconnects", str(asked.reconnects), "--seed", str(asked.seed))
    with _crowd(url, claim.job.job_id, _RECONNECT_READERS, _count(asked), *extra) as crowd:
        await _write_all(partial(_append, store, claim), _count(asked), per_second=asked.rate)
        seen = await asyncio.to_thread(crowd.seen)
    await _finish(store, claim)
    return seen


async def _running(store: RedisJobStore) -> Claim:
    """Play the worker: submit a job and take it."""
    job, _ = await store.create(a_new_job())
    claim = await store.claim(job.job_id, owner="benchmark", lease_seconds=3600, sandbox_level="L2")
    if claim is None:
        message = "The job could not be claimed."
        raise SystemExit(message)
    await store.advance(job.job_id, fence=claim.fence)
    return claim


async def _append(store: RedisJobStore, claim: Claim, mark: str) -> None:
    event = NewEvent(type=EventType.LOG, data={"level": "INFO", "logger": "benchmark", "message": mark})
    await store.append(claim.job.job_id, fence=claim.fence, events=[event])


async def _finish(store: RedisJobStore, claim: Claim) -> None:
    outcome = Outcome(status=JobStatus.FAILED, termination_reason="error", message="the benchmark is over")
    await store.finish(claim.job.job_id, fence=claim.fence, outcome=outcome)
    await store.aclose()


async def _write_all(write: Write, count: int, *, per_second: float) -> None:
    """Write marks at an even pace; a late one is not made up for by a shorter pause."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(1, count + 1):
        await asyncio.sleep(max(0.0, started + number / per_second - loop.time()))
        await write(MARK.format(number=number, seconds=time.time()))


@contextmanager
def _crowd(url: str, what: str, readers: int, last: int, *extra: str) -> Iterator[Crowd]:
    """Start the readers and wait until all of them read."""
    command = [sys.executable, "-m", "benchmarks.support.event_crowd", url, what, "--readers", str(readers)]
    command += ["--last", str(last), "--seconds", str(_GRACE_SECONDS + 60), *extra]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:  # noqa: S603  # our own
        try:
            if process.stdout is None or process.stdout.readline().strip() != b"ready":
                message = "The readers could not connect."
                raise SystemExit(message)
            time.sleep(_REST_SECONDS)  # the last connections are still being set up
            yield Crowd(process)
        finally:
            process.kill()


def _report(server: str, readers: int, seen: Seen) -> None:
    lags = [f"{percentile(seen.lags_ms, percent):.1f}" for percent in (50, 99, 100)] if seen.lags_ms else ["-"] * 3
    print(_LINE.format(server, readers, len(seen.lags_ms), *lags, seen.connections, seen.lost, seen.doubled))


def _count(asked: argparse.Namespace) -> int:
    return max(1, round(asked.rate * asked.seconds))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.event_readers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--readers", type=int, default=500, help="connections at a time (default 500)")
    parser.add_argument("--rate", type=float, default=10, help="events per second (default 10)")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement, 60 at most (default 20)")
    parser.add_argument("--rounds", type=int, default=3, help="times that both servers are measured (default 3)")
    parser.add_argument("--reconnects", type=int, default=1000, help="about so many (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the reconnects (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
