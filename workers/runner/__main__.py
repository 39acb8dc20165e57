"""The runner process: ``python -s -P -B -m workers.runner FD PLAN``.

It hardens itself, imports all that a job may need, confines itself, warms up, says ``ready`` and waits for its one job.
It exits at once when its socket closes, and never runs a second job.
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
    from workers.runner.start import start

    status = start(socket.socket(fileno=int(descriptor)), wanted, hardened)
    os._exit(status)  # abandoned evaluation threads and the user's atexit hooks must not hold the process
