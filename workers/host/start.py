"""A host from its imports to its exit code.

Whatever it imports later lies in site-packages: the folder of our own code cannot be read any more after ``confine``.
"""

import asyncio
import gc
import socket
import sys
import warnings
from typing import Final

import dspy

from dspy_service.domain.errors import ConfigurationError
from workers.host.link import ServiceLink
from workers.host.serving import HostedServing
from workers.host.warming import warm
from workers.sandbox.confine import Applied, confine
from workers.sandbox.imports import forget_unreadable, import_factories
from workers.sandbox.plan import Plan

EXIT_NOT_CONFINED: Final = 5
"""Exit status when the plan cannot be carried out; why stands on standard error."""


def start(sock: socket.socket, plan: Plan, hardened: Applied) -> int:
    """Confine this process, then serve one program for the process at the other end of ``sock``."""
    import_factories(plan.factories)
    try:
        applied = confine(plan, hardened)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NOT_CONFINED
    forget_unreadable(plan.readable)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)  # the other end caches
    asyncio.run(_serve(sock, plan, applied))
    return 0


async def _serve(sock: socket.socket, plan: Plan, applied: Applied) -> None:
    loop = asyncio.get_running_loop()
    await warm()
    gc.collect()
    gc.freeze()  # what lives now lives to the end; collections need not look at it again
    link = ServiceLink()
    serving = HostedServing(link)
    link.on_frame = serving.take
    await loop.connect_accepted_socket(lambda: link, sock)
    link.send({"t": "ready", "level": plan.level, "applied": applied})
    await loop.create_future()  # the link ends the process
