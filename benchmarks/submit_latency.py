"""How long `POST /run` takes with 100 rows of its own, and how many a second one API process accepts.

Measured against a real API process with an embedded Valkey, by a load generator in a process of its own:

* workers idle: a live worker that takes no job, so that only accepting is measured;
* workers busy: both job slots compile all the time and compete for the same cores.

Every accepted id is looked up afterwards: none may be lost, none may be given twice.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.support.figures import percentile, print_machine
from benchmarks.support.measured_platform import ROOT, measured_platform
from dspy_service.client import Client, ClientError
from dspy_service.client.demo.sample import sample_payload

ROWS = 100
GENERATOR_SECONDS = 120

_ROWS_OF_ITS_OWN = b"ticket number 00000000"

_LINE = "{:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>5}"


@dataclass(frozen=True)
class Load:
    """What one run of the generator saw."""

    seconds: float
    latencies_ms: list[float]
    job_ids: list[str]
    refused: int


def main() -> None:
    """Measure both states of the workers and print the figures."""
    options = _parse()
    if options.generate:
        load = asyncio.run(generate(options.generate, clients=options.clients, requests=options.requests))
        json.dump(asdict(load), sys.stdout)
        return
    print_machine(f"POST /run with {ROWS} rows ({len(run_body())} bytes), one API process")
    print(_LINE.format("workers", "clients", "requests", "p50 ms", "p99 ms", "per s", "refused", "lost"))
    for is_busy in (False, True):
        with measured_platform(takes_jobs=is_busy) as base_url:
            if is_busy:
                occupy(base_url)
            for clients, requests in ((1, options.single), (options.clients, options.requests)):
                _in_a_process(base_url, clients, max(20, requests // 10))  # warm
                report("busy" if is_busy else "idle", base_url, clients, _in_a_process(base_url, clients, requests))


def report(state: str, base_url: str, clients: int, load: Load) -> None:
    """Print one line of figures."""
    p50, p99 = percentile(load.latencies_ms, 50), percentile(load.latencies_ms, 99)
    count = len(load.latencies_ms)
    rate = len(load.job_ids) / load.seconds
    lost = lost_jobs(base_url, load.job_ids)
    print(_LINE.format(state, clients, count, f"{p50:.2f}", f"{p99:.2f}", f"{rate:.0f}", load.refused, lost))


def lost_jobs(base_url: str, job_ids: list[str]) -> int:
    """Count accepted ids without a record of their own."""
    missing = len(job_ids) - len(set(job_ids))
    with Client(base_url) as client:
        for job_id in job_ids:
            try:
                client.summary(job_id)
            except ClientError:
                missing += 1
    return missing


def occupy(base_url: str) -> None:
    """Submit long jobs and wait until the workers are on them."""
    with Client(base_url) as client:
        accepted = [client.submit_payload(sample_payload(seed=seed)).job_id for seed in range(8)]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if any(client.summary(job_id).status == "running" for job_id in accepted):
                return
            time.sleep(0.1)
    message = "No job started within 30 s; the workers cannot be measured as busy."
    raise SystemExit(message)


def run_body() -> bytes:
    """Return the body that is submitted: the sample job with 100 rows, one of which is to be numbered."""
    payload = sample_payload(seed=7)
    row = {**payload["dataset"][0], "ticket": _ROWS_OF_ITS_OWN.decode()}
    return json.dumps({**payload, "dataset": [row, *payload["dataset"][1:ROWS]]}).encode()


async def generate(base_url: str, *, clients: int, requests: int) -> Load:
    """Send requests from several connections that each wait for their answer."""
    address = urlsplit(base_url)
    body = run_body()
    head = (
        f"POST /run HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    first = random.randrange(50_000_000)  # noqa: S311  # no rows of an earlier run: they would not be written again
    remaining = iter(range(first, first + requests))
    load = Load(0.0, [], [], 0)
    refused = 0

    async def one_client() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for number in remaining:
            numbered = body.replace(_ROWS_OF_ITS_OWN, b"ticket number %08d" % number)
            started = time.perf_counter()
            writer.write(head + numbered)
            status, answer = await _answer(reader)
            load.latencies_ms.append(1000 * (time.perf_counter() - started))
            if status == "200":
                load.job_ids.append(answer["job_id"])
            else:
                refused += 1
        writer.close()

    started = time.perf_counter()
    async with asyncio.timeout(GENERATOR_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client())
    return Load(time.perf_counter() - started, load.latencies_ms, load.job_ids, refused)


async def _answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
    return first.split(" ")[1], json.loads(await reader.readexactly(length))


def _in_a_process(base_url: str, clients: int, requests: int) -> Load:
    command = [sys.executable, "-m", "benchmarks.submit_latency", "--generate", base_url]
    command += ["--clients", str(clients), "--requests", str(requests)]
    with ExitStack() as stack:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)  # noqa: S603  # this very script
        stack.callback(process.kill)
        written, _ = process.communicate(timeout=GENERATOR_SECONDS + 30)
    return Load(**json.loads(written))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.submit_latency", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--single", type=int, default=500, help="requests of the lone client (default 500)")
    parser.add_argument("--clients", type=int, default=32, help="clients of the throughput run (default 32)")
    parser.add_argument("--requests", type=int, default=3000, help="requests of the throughput run (default 3000)")
    parser.add_argument("--generate", metavar="URL", help="only generate load against URL and print it as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
