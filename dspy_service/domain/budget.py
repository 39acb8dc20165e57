"""What one job may spend, over all of its attempts, and when it has reached enough."""

from typing import Annotated

from pydantic import Field

from dspy_service.domain.schema import Schema


class ModelBudget(Schema):
    """Bounds on language model calls. What the job's journal answers again costs nothing and counts once."""

    max_usd: Annotated[
        float | None, Field(gt=0, description="Money; every model of the job must have a known price.")
    ] = None
    max_lm_calls: Annotated[int | None, Field(ge=1, description="Calls that a provider answered.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="Prompt and completion tokens together.")] = None

    @property
    def is_empty(self) -> bool:
        """Whether it bounds nothing."""
        return self.max_usd is None and self.max_lm_calls is None and self.max_tokens is None


class RoleBudgets(Schema):
    """Bounds of single roles, on top of those of the whole job."""

    task: ModelBudget | None = None
    prompt: ModelBudget | None = None
    reflection: ModelBudget | None = None


class Budget(ModelBudget):
    """Bounds of a whole job, all roles together. A stop keeps the best program so far as a normal artifact.

    The final evaluation on the test split is reserved: as many calls as the baseline's, at the dearest price so far;
    not so where the optimizer has no program before its own end.
    """

    max_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            description="Time in `running`, all attempts together (the summary's `active_seconds`). Waiting, start-ups "
            "(`validating`), pauses and hand-backs do not count. A retry has all of it again.",
        ),
    ] = None
    max_metric_calls: Annotated[
        int | None, Field(ge=1, description="Calls of the metric while optimizing; counted anew by each attempt.")
    ] = None
    stop_at_score: Annotated[
        float | None, Field(description="End with `target_reached` once the score on the whole valset is this high.")
    ] = None
    patience: Annotated[
        int | None,
        Field(ge=1, description="End with `no_improvement` after so many full evaluations without a new best."),
    ] = None
    roles: Annotated[RoleBudgets | None, Field(description="Bounds of single roles.")] = None

    def of_role(self, role: str) -> ModelBudget:
        """Return the bounds of one role; an empty one when it has none of its own."""
        return getattr(self.roles, role, None) or ModelBudget()
