"""What hosts may use; the operator's settings give some of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HostRules:
    """Of all hosts of one serving process."""

    max_hosts: int = 8
    """Programs that are hosted at a time."""
    idle_seconds: float = 300.0
    """After which a host without runs is ended, and the one that waits for a program."""
    keeps_standby: bool = True
    """Whether the next host is warmed ahead, once a program needed one."""
    ready_seconds: float = 60.0
    """Until a host has warmed up; a few seconds are usual."""
    load_seconds: float = 30.0
    """Until it has its program."""
    place_seconds: float = 30.0
    """For which a run waits until another program's host may be ended."""
    stop_seconds: float = 1.0
    """Until a run that is told to end has ended; else its whole host is killed."""
    look_seconds: float = 1.0
    """Between two looks at what a host uses, and two pings."""
    silent_seconds: float = 10.0
    """In which a host that is read does not answer a ping: code of its program holds its event loop."""
    run_seconds: float = 1_800.0
    """Of one run."""
    memory_bytes: int = 2 << 30
    """Resident."""
    threads: int = 256
    frame_bytes: int = 4 << 20
    """As of a runner."""
    calls_at_once: int = 128
    """Of all runs together; past it, or past ``calls_bytes``, the host is not read."""
    calls_bytes: int = 32 << 20
    steady_bytes: int = 16 << 20
    """That a host may say between two looks without end: reading it takes a tenth of our event loop."""
    burst_bytes: int = 256 << 20
    """Beyond that, at a time."""
    calls: int = 1_000
    """Of one run."""
    facts: int = 200_000
    """Of one run."""
    chars: int = 8 << 20
    """Of one run's texts."""
    output_bytes: int = 64 << 10
    """Of stdout and stderr each that reach the operator's log; the rest is read and thrown away."""

    @property
    def tenant_hosts(self) -> int:
        """Of one tenant at a time: all but a quarter, so that none keeps all others out."""
        return self.max_hosts - self.max_hosts // 4
