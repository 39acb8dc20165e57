"""A process that calls a model as a worker does: with the operator's limits, which it shares with others like it.

::

    python -m tests.support.calling_worker --redis-url … --base-url … --tenant acme --job j1 --calls 100 --threads 8
"""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspy.lm15 import Message, Request

from dspy_service.adapters.redis.throttle import RedisCallThrottle
from dspy_service.domain.spec import ModelSettings
from workers.lm.engine import CallLimits, MeteredEngine
from workers.lm.environment import read_provider_environment
from workers.lm.models_file import read_models_file
from workers.lm.provider_lines import ProviderLines
from workers.lm.registry import ModelRegistry

ROOT = Path(__file__).parents[2]


@contextmanager
def calling_worker(**options: object) -> Iterator[subprocess.Popen[str]]:
    """Start one; it is killed if it still runs in the end."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "tests.support.calling_worker", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            yield process
        finally:
            process.kill()


async def call(options: argparse.Namespace) -> None:
    """Make all calls, some at a time."""
    throttle = RedisCallThrottle(options.redis_url)
    registry = ModelRegistry(read_provider_environment({}), models=read_models_file(options.models_file))
    target = registry.target(ModelSettings(name="openai/test", base_url=options.base_url))
    line = ProviderLines(throttle, tenant=options.tenant, job_id=options.job).of(target)
    engine = MeteredEngine(target, CallLimits(max_in_flight=options.threads), line=line)
    request = Request(model=target.wire_model, messages=(Message.user(options.job),))
    await asyncio.gather(*(engine.complete(request) for _ in range(options.calls)))
    await engine.aclose()
    await throttle.aclose()


def main() -> None:
    """Read the command line and call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--redis-url", "--base-url", "--tenant", "--job"):
        parser.add_argument(name, required=True)
    parser.add_argument("--models-file", type=Path, help="prices and limits")
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True, help="calls at a time, of what the limits allow")
    asyncio.run(call(parser.parse_args()))


if __name__ == "__main__":
    main()
