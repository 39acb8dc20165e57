"""Keeps this process's memory and environment from other processes of its user: they hold the providers' keys."""

import ctypes
import logging
import os
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
_log: Final = logging.getLogger(__name__)


def make_undumpable() -> None:
    """Let nobody but root read ``/proc/<pid>/environ`` or ``mem`` of this process, or trace it; forked ones inherit it.

    A runner at level L1 has this worker's user and no Landlock. Elsewhere than on Linux there is no such switch.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("This worker's memory is open to its user's processes: %s.", os.strerror(ctypes.get_errno()))
