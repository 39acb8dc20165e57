"""What a runner does to itself before it sees any submitted code.

The order matters::

    harden(plan)     outlive a SIGTERM, die with the parent, gain no privileges, be opaque, resource limits
    …                import everything that is not in the readable list (the runner does)
    confine(plan)    become an ordinary user -> Landlock -> seccomp -> try what must not work
"""

import os
import signal
import sys

from dspy_service.domain.errors import ConfigurationError
from workers.sandbox import landlock, seccomp
from workers.sandbox.identity import give_up_privileges
from workers.sandbox.kernel import (
    PR_GET_DUMPABLE,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    prctl,
    status,
)
from workers.sandbox.plan import Plan
from workers.sandbox.verify import observed, refused

Applied = dict[str, int | bool | str]
"""What really holds afterwards, read back from the kernel; goes into the ``ready`` frame."""


def harden(plan: Plan) -> Applied:
    """Do what hinders no import; the first thing that a runner does. All there is at L1.

    Raises:
        ConfigurationError: the kernel refuses.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a deploy may send it to the whole group: the supervisor decides
    applied: Applied = {"level": plan.level}
    if sys.platform == "linux":
        applied |= _flags()
    _end_without(plan.parent_pid)
    return applied | plan.limits.apply(own_user=plan.drop is not None)


def confine(plan: Plan, hardened: Applied) -> Applied:
    """Confine this process for good, and return what holds. Does nothing more at L1.

    Raises:
        ConfigurationError: it cannot be done; the process may be half confined and must end.
    """
    if plan.level == "L1":
        return hardened
    if sys.platform != "linux":
        raise ConfigurationError(f"Sandbox level {plan.level} needs Linux.")
    threads = int(status()["Threads"])
    if threads != 1:  # Landlock would cover only this one
        message = f"{threads - 1} threads were started before the confinement: a module must start none when imported."
        raise ConfigurationError(message)
    try:
        give_up_privileges(plan.drop)
        flags = _flags()  # a change of user took some back
        _end_without(plan.parent_pid)
        version = landlock.restrict(plan.readable)
        seccomp.install(seccomp.allow_list())
    except OSError as error:
        raise ConfigurationError(f"The kernel refused: {error.strerror}.") from error
    return {**hardened, **flags, "landlock_abi": version, **observed(), "refused": " ".join(refused())}


def _flags() -> Applied:
    """Die with the parent, gain no privileges, and hide memory and environment from processes of the same user."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_DUMPABLE, 0)
        return {"no_new_privs": prctl(PR_GET_NO_NEW_PRIVS) == 1, "dumpable": prctl(PR_GET_DUMPABLE)}
    except OSError as error:
        raise ConfigurationError(f"The kernel refused: {error.strerror}.") from error


def _end_without(parent_pid: int) -> None:
    """End at once if our supervisor died before the death signal was armed."""
    if os.getppid() != parent_pid:
        os._exit(signal.SIGKILL)  # nobody would hear an exception
