"""The shape of a catalogue entry: plain data, so that it can be checked, listed and sent to a runner."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from dspy_service.domain.schema import Schema
from dspy_service.domain.spec import LmRole

KwargKind = Literal["integer", "number", "boolean", "string", "object", "array"]
"""JSON's own type names."""

ProgressModel = Literal["none", "bootstrap", "random_search", "mipro", "gepa", "metric_calls"]
"""How the runner scales progress; ``metric_calls`` counts the wrapper's calls without a known total."""

MetricStyle = Literal["none", "score", "feedback"]
"""What the optimizer's metric must return: nothing is called, a float, or a score with feedback (GEPA)."""


class Kwarg(Schema):
    """One keyword argument that a client may give."""

    kind: KwargKind
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[JsonValue, ...] = ()
    nullable: bool = False
    default: JsonValue = None
    required: bool = False


class ModuleEntry(Schema):
    """A program that can be built around a signature by name."""

    name: str
    """The alias, for example ``cot``."""
    factory: str
    """Dotted path of a callable that takes the signature first, for example ``dspy.ChainOfThought``."""
    also_known_as: tuple[str, ...] = ()
    """Other names that are accepted, dotted paths included."""
    description: str = ""
    kwargs: dict[str, Kwarg] = Field(default_factory=dict)


class OptimizerEntry(Schema):
    """A DSPy optimizer that can be asked for by name."""

    name: str
    factory: str
    also_known_as: tuple[str, ...] = ()
    description: str = ""
    kwargs: dict[str, Kwarg] = Field(default_factory=dict)
    """Of the constructor."""
    compile_kwargs: dict[str, Kwarg] = Field(default_factory=dict)
    refused_kwargs: dict[str, str] = Field(default_factory=dict)
    """Names that DSPy knows but a service cannot take, with the reason a client reads."""
    role_kwargs: dict[LmRole, str] = Field(default_factory=dict)
    """Constructor kwarg that receives the language model of a role, for example ``{"prompt": "prompt_model"}``."""
    metric_style: MetricStyle = "score"
    metric_arity: Annotated[int, Field(ge=0, le=6)] = 3
    """Positional arguments with which the optimizer may call the metric at most: 3, or 5 for GEPA."""
    needs_reflection_model: bool = False
    takes_valset: bool = True
    needs_valset: bool = False
    """Whether compile cannot do without one, even by reusing the trainset."""
    progress: ProgressModel = "metric_calls"
    keeps_best: bool = False
    """Whether it scores whole programs on the whole valset while it compiles, so that a job that stops early still has
    its best one. True asks for ``dspy.Evaluate`` calls that see every row, or for GEPA's callbacks."""
    resumable: bool = True
    """Whether a second compile that gets the same answers asks the same questions: then nothing is paid for twice."""
    not_resumable_because: str = ""
    """One sentence; given exactly when ``resumable`` is false."""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.resumable == bool(self.not_resumable_because):
            message = f"{self.name}: say in not_resumable_because why it is not resumable, and only then"
            raise ValueError(message)
        return self
