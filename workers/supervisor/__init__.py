"""The parent of one job: it starts, feeds, watches and ends a confined runner."""

from workers.supervisor.job_supervisor import JobSupervisor
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.standby import Standby

__all__ = ["JobSupervisor", "Standby", "SupervisionLimits"]
