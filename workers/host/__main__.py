"""The host process: ``python -s -P -B -m workers.host FD PLAN``.

It hardens itself, imports all that a program may need, confines itself, warms up, says ``ready``, takes one program and
serves it until its socket closes.
"""

import os
import socket
import sys

from workers.sandbox.confine import harden
from workers.sandbox.plan import Plan

if __name__ == "__main__":
    descriptor, argument = sys.argv[1:3]
    wanted = Plan.from_json(argument)
    hardened = harden(wanted)  # before DSPy: its imports run under the limits too
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else DSPy fetches a price list over the network
    from workers.host.start import start

    status = start(socket.socket(fileno=int(descriptor)), wanted, hardened)
    os._exit(status)  # threads and atexit hooks of the program must not hold the process
