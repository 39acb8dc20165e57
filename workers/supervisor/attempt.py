"""What the parts of one attempt's supervision share."""

from dataclasses import dataclass

from dspy_service.domain.budget import Budget
from dspy_service.domain.supervision import Reins
from workers.supervisor.best_keeper import BestKeeper
from workers.supervisor.door import ModelDoor
from workers.supervisor.feed import EventFeed
from workers.supervisor.limits import SupervisionLimits
from workers.supervisor.time_budget import TimeBudget


@dataclass(frozen=True)
class Attempt:
    """One attempt of one job, whichever runner it gets."""

    door: ModelDoor
    feed: EventFeed
    keeper: BestKeeper
    limits: SupervisionLimits
    reins: Reins
    time: TimeBudget
    """Its clock goes once a runner has the job."""
    budget: Budget | None
