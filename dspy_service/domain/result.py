"""What a job gives back: the contract's ``RunResponse`` and ours on top."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from dspy_service.domain.events import LogEntry
from dspy_service.domain.job import TerminationReason
from dspy_service.domain.schema import Schema


class SplitCounts(Schema):
    """Rows in each split."""

    train: Annotated[int, Field(ge=0)]
    val: Annotated[int, Field(ge=0)]
    test: Annotated[int, Field(ge=0)]


class Comparison(Schema):
    """Baseline against optimized on the same test rows, paired.

    Scores are means of the metric; the interval and the p-value are of the mean paired difference.
    """

    baseline: float
    optimized: float
    difference: float
    interval_low: float
    interval_high: float
    """Ends of the 95 % interval of the difference (percentile bootstrap, up to 10 000 resamples, fixed seed)."""
    p_value: Annotated[float, Field(ge=0, le=1)]
    """Two-sided sign-flip permutation test on the paired differences."""
    test: Literal["paired_permutation"] = "paired_permutation"
    verdict: Literal["improved", "not_shown", "worse"]
    rows_used: Annotated[int, Field(ge=0)]


class RoleUsage(Schema):
    """What one model role cost, counted by the broker."""

    model: str
    calls: int = 0
    """Requests that a provider answered, over all attempts; each of them once."""
    replayed_calls: int = 0
    """Those of them that this attempt took from the journal of earlier ones; free."""
    cached_calls: int = 0
    """Requests equal to an earlier one of this job; free."""
    shared_cache_calls: int = 0
    """Requests that an earlier job of the tenant had paid for; free."""
    failed_calls: int = 0
    """Requests that a provider refused, or did not answer in this attempt."""
    estimated_calls: Annotated[
        int,
        Field(
            description="Calls whose provider told no token counts: their tokens, and so their cost, are estimated on "
            "the high side, from the text."
        ),
    ] = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    """None when the model has no known price; never silently zero."""


class Usage(Schema):
    """Model usage of a whole job by role, and in total."""

    roles: dict[str, RoleUsage] = Field(default_factory=dict)
    total_calls: int = 0
    total_tokens: int = 0
    estimated_calls: Annotated[
        int, Field(description="Calls whose tokens, and so their cost, are estimated: their provider told none.")
    ] = 0
    cost_usd: float | None = None
    """None when any of the paid calls has no known price."""
    unpriced_models: list[str] = Field(default_factory=list)
    """Models that were called and whose price is not known, by name; their calls are in no sum of money."""
    cache_hit_rate: float | None = None
    """Share of all requests that an equal earlier one of this job or of the tenant's jobs answered; 0 to 1."""
    prices_as_of: str | None = None
    """Of which day, or which release, the prices are that the money was counted with."""


class ProgramArtifact(Schema):
    """The compiled program, inline."""

    path: str
    program_pickle_base64: str
    metadata: dict[str, JsonValue]


class RunnerResult(Schema):
    """What the runner measured; the supervisor adds usage, times and files."""

    module_name: str
    optimizer_name: str
    metric_name: str | None = None
    split_counts: SplitCounts | None = None
    baseline_test_metric: float | None = None
    optimized_test_metric: float | None = None
    optimization_metadata: dict[str, JsonValue] = Field(default_factory=dict)
    """What the optimizer did: kwargs, best valset score, candidates, trials, metric calls, winning prompts."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    """Per-phase seconds, metric calls, errors and first tracebacks, model calls by role, warnings."""
    comparison: Comparison | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class StoredResult(RunnerResult):
    """``result.json``: everything but the log and the pickle, which stand in files of their own."""

    runtime_seconds: float | None = None
    usage: Usage = Field(default_factory=Usage)
    termination_reason: TerminationReason
    sandbox_level: str | None = None
    failure: dict[str, JsonValue] | None = None


class RunResponse(Schema):
    """The result of a job, with exactly the contract's fields plus ours."""

    module_name: str
    optimizer_name: str
    metric_name: str | None
    split_counts: SplitCounts | None
    baseline_test_metric: float | None
    optimized_test_metric: float | None
    optimization_metadata: dict[str, JsonValue]
    details: dict[str, JsonValue]
    program_artifact_path: str | None
    program_artifact: ProgramArtifact | None
    runtime_seconds: float | None
    run_log: list[LogEntry]
    comparison: Comparison | None
    usage: Usage
    termination_reason: TerminationReason
    sandbox_level: str | None
    versions: dict[str, str]
