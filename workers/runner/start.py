"""A runner from its imports to its exit code.

Whatever it imports later lies in site-packages: the folder of our own code cannot be read any more after ``confine``.
"""

import os
import socket
import sys

from dspy_service.domain.errors import ConfigurationError, ProtocolError
from workers.runner import boot
from workers.runner.channel import Channel
from workers.runner.job import JobRun
from workers.runner.order import receive
from workers.sandbox.confine import Applied, confine
from workers.sandbox.imports import forget_unreadable, import_factories
from workers.sandbox.plan import Plan

EXIT_OK = 0
EXIT_PROTOCOL = 4
"""Exit status when the supervisor's frames make no sense."""
EXIT_NOT_CONFINED = 5
"""Exit status when the plan cannot be carried out; why stands on standard error."""


def start(sock: socket.socket, plan: Plan, hardened: Applied) -> int:
    """Confine this process, then run one job for the supervisor at the other end of ``sock``."""
    import_factories(plan.factories)
    try:
        applied = confine(plan, hardened)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_CONFINED
    forget_unreadable(plan.readable)
    versions = boot.prepare()
    boot.warm_up()
    channel = Channel(sock)
    channel.start()
    channel.say({"t": "ready", "level": plan.level, "applied": applied, "versions": versions, "pid": os.getpid()})
    try:
        order = receive(channel)
    except (ProtocolError, KeyError, TypeError, ValueError):
        return EXIT_PROTOCOL
    JobRun(order, channel, versions).run()
    return EXIT_OK
