"""The runner process: ``python -s -P -B -m workers.runner FD LEVEL PARENT_PID``.

It confines itself, prepares DSPy, warms up, says ``ready`` and waits for its one job. It exits at once when its socket
closes, and never runs a second job.
"""

import os
import socket
import sys

from dspy_service.domain.errors import ProtocolError
from dspy_service.domain.workers import SandboxLevel
from workers.sandbox.confine import Applied, confine
from workers.sandbox.levels import LEVELS

EXIT_OK = 0
EXIT_PROTOCOL = 4
"""Exit status when the supervisor's frames make no sense."""


def main(sock: socket.socket, level: SandboxLevel, applied: Applied) -> int:
    """Run one job for the supervisor at the other end of ``sock``; this process is confined already."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before DSPy: else it fetches a price list over the network
    from workers.runner import boot  # noqa: PLC0415  # DSPy comes after confinement
    from workers.runner.channel import Channel  # noqa: PLC0415  # the same
    from workers.runner.job import JobRun  # noqa: PLC0415  # the same
    from workers.runner.order import receive  # noqa: PLC0415  # the same

    versions = boot.prepare()
    boot.warm_up()
    channel = Channel(sock)
    channel.start()
    channel.say({"t": "ready", "level": level, "applied": applied, "versions": versions, "pid": os.getpid()})
    try:
        order = receive(channel)
    except (ProtocolError, KeyError, TypeError, ValueError):
        return EXIT_PROTOCOL
    JobRun(order, channel, versions).run()
    return EXIT_OK


if __name__ == "__main__":
    descriptor, asked_level, parent_pid = sys.argv[1:4]
    wanted = next(known for known in LEVELS if known == asked_level)
    status = main(socket.socket(fileno=int(descriptor)), wanted, confine(wanted, parent_pid=int(parent_pid)))
    os._exit(status)  # abandoned evaluation threads and the user's atexit hooks must not hold the process
