"""Starts a command on a kernel that seems to lack what confinement needs.

``python -m tests.integration.containment.deprived landlock,seccomp COMMAND…``: calls of what is named answer ENOSYS.
"""

import errno
import os
import sys

from workers.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl
from workers.sandbox.seccomp import deny_list, install
from workers.sandbox.syscall_table import OURS, machine, number

if __name__ == "__main__":
    lost, *command = sys.argv[1:]
    names = [name for name in OURS if any(name.startswith(each) for each in lost.split(","))]
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    install(deny_list([number(name, machine()) or 0 for name in names], error=errno.ENOSYS))
    os.execv(command[0], command)  # noqa: S606 - the test's own command
