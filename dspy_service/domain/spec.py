"""What a user asked for: one schema that is the request, the stored record and the runner's input."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from dspy_service.domain.budget import Budget
from dspy_service.domain.schema import Schema
from dspy_service.domain.webhook import Webhook

MAX_SOURCE_BYTES = 64 * 1024  # parsing 64 KiB takes about 50 ms; 1 MiB takes seconds
MAX_METADATA_PAIRS = 16
MAX_METADATA_LENGTH = 128
DEFAULT_PRIORITY = 5
MIN_MEMORY_BYTES = 256 * 1024**2  # an idle runner has 90 MiB, a compile peaks at 130
MIN_THREADS = 24  # the runner's own, and room for an evaluation

Row = dict[str, JsonValue]
"""One dataset record: column name to plain JSON value."""

LmRole = Literal["task", "prompt", "reflection"]
"""Who is asked: the program's own model, the instruction proposer, GEPA's reflection."""


class ModelSettings(Schema):
    """One language model and how to call it. Never carries a key: keys stay with the operator."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=256,
            examples=["openai/gpt-4o-mini", "demo/in-context"],
            description="<provider>/<model>, or demo/in-context, which needs no key and no network.",
        ),
    ]
    base_url: Annotated[
        str | None,
        Field(max_length=2048, description="An OpenAI-compatible endpoint; only origins that the operator allows."),
    ] = None
    """An OpenAI-compatible endpoint; only origins that the operator allows."""
    model_type: Annotated[
        Literal["chat", "responses"] | None, Field(description="Which API of the provider; null: its usual one.")
    ] = None
    temperature: Annotated[float | None, Field(ge=0, le=2, description="Null: the provider's default.")] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000, description="Of one answer.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1, description="Nucleus sampling.")] = None
    extra: Annotated[
        dict[str, JsonValue],
        Field(description="stop, seed, reasoning_effort, presence_penalty or frequency_penalty; nothing else."),
    ] = Field(default_factory=dict)
    """Allow-listed options: ``stop``, ``seed``, ``reasoning_effort``, ``presence_penalty``, ``frequency_penalty``."""


class ColumnMapping(Schema):
    """Which dataset column feeds which signature field, as ``{field: column}``."""

    inputs: Annotated[dict[str, str], Field(description="Input field of the signature to dataset column.")]
    outputs: Annotated[dict[str, str], Field(description="Output field of the signature to dataset column.")]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every mapped dataset column, inputs first."""
        return (*self.inputs.values(), *self.outputs.values())


class SplitFractions(Schema):
    """Shares of the dataset; they sum to 1."""

    train: Annotated[float, Field(ge=0, le=1, description="What the optimizer learns from.")] = 0.7
    val: Annotated[float, Field(ge=0, le=1, description="What it chooses candidates by.")] = 0.15
    test: Annotated[float, Field(ge=0, le=1, description="Held out: baseline and optimized are compared on it.")] = 0.15

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            message = f"train + val + test is {total:g}; make the fractions sum to 1"
            raise ValueError(message)
        return self


class JobLimits(Schema):
    """What one job may use. A request may only lower what the operator allows; null leaves that as it is."""

    max_seconds: Annotated[float | None, Field(gt=0, description="Time of one attempt, `validating` included.")] = None
    cpu_seconds: Annotated[float | None, Field(ge=1, description="CPU time, of all threads together.")] = None
    memory_bytes: Annotated[
        int | None, Field(ge=MIN_MEMORY_BYTES, description="Resident memory; a program with DSPy alone needs 128 MiB.")
    ] = None
    threads: Annotated[
        int | None, Field(ge=MIN_THREADS, description="Threads at a time; 16 of them are the service's own.")
    ] = None
    stall_seconds: Annotated[
        float | None, Field(ge=1, description="Without progress and without a model call, before the job is ended.")
    ] = None


class JobSpec(Schema):
    """Everything about a job except its rows; immutable once accepted.

    ``seed`` is None only in a request: submit draws one, stores it and echoes it.
    """

    signature_code: Annotated[
        str, Field(min_length=1, description="Python source of one dspy.Signature class; dspy and typing are imported.")
    ]
    metric_code: Annotated[
        str,
        Field(
            min_length=1,
            description="Python source of metric(gold, pred, trace=None) -> score, higher is better; GEPA calls it "
            "with (gold, pred, trace, pred_name, pred_trace). dspy and typing are imported.",
        ),
    ]
    column_mapping: Annotated[ColumnMapping, Field(description="Which dataset column feeds which signature field.")]
    module_name: Annotated[
        str, Field(min_length=1, max_length=256, description="predict, cot, or their dotted paths in dspy.")
    ] = "predict"
    module_kwargs: Annotated[dict[str, JsonValue], Field(description="Of the module's constructor.")] = Field(
        default_factory=dict
    )
    optimizer_name: Annotated[
        str,
        Field(min_length=1, max_length=256, description="An alias that /health lists, dspy.X or dspy.teleprompt.X."),
    ]
    optimizer_kwargs: Annotated[
        dict[str, JsonValue], Field(description="Of the optimizer's constructor; checked before anything is queued.")
    ] = Field(default_factory=dict)
    compile_kwargs: Annotated[dict[str, JsonValue], Field(description="Of the optimizer's compile().")] = Field(
        default_factory=dict
    )
    lm: Annotated[ModelSettings, Field(description="The model of the program; the other roles fall back to it.")] = (
        Field(alias="model_config")
    )
    prompt_lm: Annotated[
        ModelSettings | None, Field(description="Proposes instructions (MIPROv2); null: model_config.")
    ] = Field(default=None, alias="prompt_model_config")
    task_lm: Annotated[
        ModelSettings | None, Field(description="Runs the program while it is optimized; null: model_config.")
    ] = Field(default=None, alias="task_model_config")
    reflection_lm: Annotated[ModelSettings | None, Field(description="Reflects on failures; GEPA needs it.")] = Field(
        default=None, alias="reflection_model_config"
    )
    split_fractions: Annotated[
        SplitFractions, Field(description="Shares of the rows for training, validation and test; they sum to 1.")
    ] = Field(default_factory=SplitFractions)
    shuffle: Annotated[bool, Field(description="Shuffle the rows before they are split.")] = True
    seed: Annotated[
        int | None, Field(ge=0, lt=2**32, description="Of the shuffle; null: one is drawn, stored and echoed.")
    ] = None
    limits: Annotated[
        JobLimits | None, Field(description="Lower limits for this job than the operator's; null: the operator's.")
    ] = None
    budget: Annotated[
        Budget | None, Field(description="What the job may spend, and when it has reached enough; null: no bound.")
    ] = None
    priority: Annotated[
        int, Field(ge=0, le=9, description="Among your own waiting jobs, higher ones start first; oldest first inside.")
    ] = DEFAULT_PRIORITY
    cache: Annotated[
        bool,
        Field(description="Take answers that your earlier jobs with this option got to equal calls, and leave yours."),
    ] = False
    webhook: Annotated[Webhook | None, Field(description="Told when the job has ended; null: nobody.")] = None
    metadata: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=MAX_METADATA_LENGTH)],
            Annotated[str, Field(max_length=MAX_METADATA_LENGTH)],
        ],
        Field(description="Up to 16 short pairs of your own, echoed with the job."),
    ] = Field(default_factory=dict, max_length=MAX_METADATA_PAIRS)

    def models(self) -> Mapping[LmRole, ModelSettings]:
        """Return the model of every role, with the contract's fall-backs to ``model_config``."""
        roles: dict[LmRole, ModelSettings] = {
            "task": self.task_lm or self.lm,
            "prompt": self.prompt_lm or self.lm,
        }
        if self.reflection_lm is not None:
            roles["reflection"] = self.reflection_lm
        return roles


def _mapping_form(value: Any) -> str:  # noqa: ANN401  # pydantic hands over whatever was sent
    """Tell the nested form from the flat one: only the nested form has objects as values."""
    if isinstance(value, ColumnMapping):
        return "nested"
    nested = isinstance(value, dict) and any(isinstance(value.get(side), dict) for side in ("inputs", "outputs"))
    return "nested" if nested else "flat"


class RunRequest(JobSpec):
    """The body of ``POST /run``: a spec with its rows, before the mapping's form and the seed are settled."""

    column_mapping: Annotated[  # type: ignore[assignment]  # a request is wider than the spec it becomes
        Annotated[ColumnMapping, Tag("nested")] | Annotated[dict[str, str], Tag("flat")],
        Discriminator(_mapping_form),
        Field(description='{"inputs": {field: column}, "outputs": {...}}, or flat: {field: column}.'),
    ]
    dataset: Annotated[list[Row], Field(min_length=1, description="Rows: objects that have every mapped column.")]

    def settle(self, mapping: ColumnMapping, *, seed: int) -> JobSpec:
        """Return the spec that is stored: the resolved mapping, the drawn seed, no rows."""
        fields = {name: getattr(self, name) for name in JobSpec.model_fields}
        return JobSpec.model_construct(**{**fields, "column_mapping": mapping, "seed": seed})
