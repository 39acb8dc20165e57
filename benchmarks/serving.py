"""What the service adds to a streamed answer, beside the bare language model in the same minutes.

A model on loopback writes words that say when they were due. It is asked directly, and through the service: API, queue,
serving worker, log, API. Its program has one text field.

1. Time to the first token, one stream at a time, in turns.
2. Memory of the API process for each of many open streams, all of which are being written.
3. Many streams at a time at 50 words a second each: how late words are. They begin one after the other; without a
   target, it is also told what it is like when all begin in one moment.
4. From the request to cancel until the model notices that its client has gone.
5. A reader comes back with the number of an event: from its request until the first event after that.

With ``--chaos``, instead: readers of predictions and of chats leave at random moments and come back to either of two
API processes, while serving processes are killed (``kill -9``), frozen past their leases and told to end, and API
processes are killed. Some answers are taken back in their middle, because DSPy could not read them. Every reader must
have all that the model wrote, once and in order, as the log, the record and the conversation have it; and one end,
which is good unless the run's process was killed or frozen.

Each is bounded in time, at 90 seconds of measuring or a quarter of an hour of chaos; the exit code is 1 when a target
is missed.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.served_streams import Answer, Read, read_bare, read_served, serving
from benchmarks.support.serving_sides import Sides, end_on_sigterm, serving_sides, serving_store
from tests.support.openai_server import OpenAIServer
from tests.support.serving_apis import serving_apis
from tests.support.serving_chaos import Trouble, serving_chaos
from tests.support.serving_faults import Fault
from tests.support.serving_questions import answering, deploy_for_questions

MOST_SECONDS: Final = 90.0
CHAOS_SECONDS: Final = 900.0
CALM: Final = {"RUN_LEASE_SECONDS": "10", "SERVING_DRAIN_SECONDS": "60"}
"""On a busy machine, too, a run is lost by what strikes alone."""
CHAOS: Final[tuple[Fault, ...]] = ("kill", "freeze", "deploy", "kill API") * 3
OPEN_STREAMS: Final = 200
APART_SECONDS: Final = 0.03
"""Between the beginnings of two streams: what it costs to begin so many in one moment is told apart."""
PAGE_BYTES: Final = 4096
_SHORT: Final = Answer(words=3, pace_ms=20)
_SLOW: Final = Answer(words=600, pace_ms=200)
_LINE: Final = "{:<42} {:>6} {:>9} {:>9} {:>9}"


class Findings:
    """Prints figures, and remembers which targets were missed."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def row(self, what: str, values: Sequence[float]) -> None:
        """Print percentiles of milliseconds."""
        figures = (f"{percentile(values, percent):.1f}" for percent in (50, 95, 99))
        print(_LINE.format(what, len(values), *figures), flush=True)

    def target(self, what: str, value: float, most: float, unit: str) -> None:
        """Hold a value against its target."""
        is_met = value <= most
        print(f"  {what}: {value:.1f} {unit}, target at most {most:g}: {'met' if is_met else 'MISSED'}", flush=True)
        if not is_met:
            self.missed.append(what)


def main() -> None:
    """Measure, print; exit code 1 when a target is missed."""
    end_on_sigterm()
    asked = _parse()
    kind = f"chaos, seed {asked.seed}" if asked.chaos else f"{asked.streams} streams of {asked.words} words at 50/s"
    print_machine(f"Serving: {kind}")
    missed = asyncio.run(_chaos(asked) if asked.chaos else _measure(asked))
    print("\n".join(f"missed: {each}" for each in missed) or "every target met")
    sys.exit(bool(missed))


async def _measure(asked: argparse.Namespace) -> list[str]:
    findings = Findings()
    async with serving_sides(OPEN_STREAMS) as sides:
        for _ in range(5):
            await read_served(sides.served, _SHORT)
        print(_LINE.format("", "count", "p50 ms", "p95 ms", "p99 ms"))
        async with asyncio.timeout(MOST_SECONDS):
            await _first_tokens(sides, findings, asked.turns)
            await _memory(sides, findings)
            await _many(sides, findings, asked.streams, Answer(words=asked.words, pace_ms=20))
            await _cancels(sides, findings, asked.cancels)
            await _replays(sides, findings, asked.turns)
    return findings.missed


async def _first_tokens(sides: Sides, findings: Findings, turns: int) -> None:
    bare, served = [], []
    for _ in range(turns):
        bare.append((await read_bare(sides.bare, sides.model.url, _SHORT)).first_ms)
        served.append((await read_served(sides.served, _SHORT)).first_ms)
    findings.row("first token, bare", bare)
    findings.row("first token, served", served)
    findings.target("added first token p50", percentile(served, 50) - percentile(bare, 50), 15, "ms")


async def _memory(sides: Sides, findings: Findings) -> None:
    before = _resident(sides.api_pid)
    async with AsyncExitStack() as opened:
        streams = await asyncio.gather(
            *(opened.enter_async_context(serving(sides.served, _SLOW)) for _ in range(OPEN_STREAMS))
        )
        most = before
        for read, lines in streams:
            async for line in lines:
                read.take(line)
                if read.first_ms:
                    break
            most = max(most, _resident(sides.api_pid))
        await asyncio.gather(*(sides.served.post(f"/v1/runs/{read.run_id}/cancel") for read, _ in streams))
    findings.target(f"API memory of each of {OPEN_STREAMS} streams", (most - before) / OPEN_STREAMS / 1024, 150, "KiB")


async def _many(sides: Sides, findings: Findings, streams: int, answer: Answer) -> None:
    async def bare() -> Read:
        return await read_bare(sides.bare, sides.model.url, answer)

    async def served() -> Read:
        return await read_served(sides.served, answer)

    findings.row(f"lag of {streams} streams, bare", await _lags(streams, bare, apart_seconds=APART_SECONDS))
    lags = await _lags(streams, served, apart_seconds=APART_SECONDS)
    findings.row(f"lag of {streams} streams, served", lags)
    findings.row("the same, all begun in one moment", await _lags(streams, served, apart_seconds=0.0))
    findings.target("lag p95", percentile(lags, 95), 50, "ms")


async def _lags(streams: int, read: Callable[[], Awaitable[Read]], *, apart_seconds: float) -> list[float]:
    async def one(seconds: float) -> Read:
        await asyncio.sleep(seconds)
        return await read()

    reads = await asyncio.gather(*(one(number * apart_seconds) for number in range(streams)))
    return [lag for each in reads for lag in each.lags_ms]


async def _cancels(sides: Sides, findings: Findings, count: int) -> None:
    times = []
    for _ in range(count):
        async with serving(sides.served, Answer(words=600, pace_ms=20)) as (read, lines):
            async for line in lines:
                read.take(line)
                if len(read.lags_ms) >= 5:  # noqa: PLR2004 - in the middle of the answer
                    break
            asked_at = time.monotonic()
            await sides.served.post(f"/v1/runs/{read.run_id}/cancel")
            times.append(1000 * (await asyncio.to_thread(sides.model.closed_at, read.number) - asked_at))
    findings.row("cancel until upstream is closed", times)
    findings.target("cancel p95", percentile(times, 95), 500, "ms")


async def _replays(sides: Sides, findings: Findings, turns: int) -> None:
    run_id = (await read_served(sides.served, Answer(words=60, pace_ms=20))).run_id
    times = []
    for seen in itertools.islice(itertools.cycle(range(1, 30)), turns):
        headers = {"accept": "text/event-stream", "last-event-id": str(seen)}
        began = time.monotonic()
        async with sides.served.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    times.append(1000 * (time.monotonic() - began))
                    break
    findings.row("reconnect until the first event", times)
    findings.target("reconnect p50", percentile(times, 50), 20, "ms")


async def _chaos(asked: argparse.Namespace) -> list[str]:
    leaves = 10
    readers = max(1, asked.disconnects // (leaves // 2))
    trouble = Trouble(readers=readers, at_once=50, leaves=leaves, pieces=120, faults=CHAOS)
    began = time.monotonic()
    with OpenAIServer(answering(trouble.pieces, piece_seconds=0.02)) as provider:
        async with (
            serving_store(**CALM) as stage,
            serving_apis(stage, 2) as apis,
        ):
            await deploy_for_questions(stage, provider.base_url)
            await stage.worker(processes=2)
            async with asyncio.timeout(CHAOS_SECONDS):
                found = await serving_chaos(stage, apis, provider, trouble, seed=asked.seed)
    struck = ", ".join(f"{count} {fault}" for fault, count in sorted(found.struck.items()))
    print(f"  took         {time.monotonic() - began:.0f} s")
    print(f"  struck       {struck}")
    print(f"  runs         {len(found.readings)}, {found.replaced} took text back, {found.lost} lost their process")
    print(f"  connections  {sum(each.connections for each in found.readings)}, {found.disconnects} left in the middle")
    print(f"  API gone     {found.broken} requests")
    print(f"  events       {sum(each.last_seq for each in found.readings)}")
    print(f"  characters   {sum(len(each.text) for each in found.readings)}")
    print(f"  violations   {len(found.faults)}")
    return [*found.faults, *([] if found.disconnects >= asked.disconnects else ["fewer disconnects than asked for"])]


def _resident(pid: int) -> int:
    """Return the memory of a process, in bytes (Linux)."""
    return PAGE_BYTES * int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=50, help="at a time (default 50)")
    parser.add_argument("--words", type=int, default=150, help="of each of their answers (default 150)")
    parser.add_argument("--turns", type=int, default=40, help="of first tokens and of reconnects (default 40)")
    parser.add_argument("--cancels", type=int, default=20, help="default 20")
    parser.add_argument("--chaos", action="store_true", help="leave, come back and kill instead of measuring")
    parser.add_argument("--disconnects", type=int, default=1000, help="about so many with --chaos (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the chaos (default 1)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
