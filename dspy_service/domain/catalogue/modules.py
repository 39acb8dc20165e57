"""The programs that can be asked for by name: one entry each."""

from dspy_service.domain.catalogue.entries import Kwarg, ModuleEntry

_REFUSED_MODEL = "models, keys and endpoints belong in model_config"

_CALL_OPTIONS = {
    "temperature": Kwarg(kind="number", minimum=0, maximum=2, nullable=True, description="Overrides model_config's."),
    "max_tokens": Kwarg(
        kind="integer", minimum=1, maximum=1_000_000, nullable=True, description="Overrides model_config's."
    ),
    "top_p": Kwarg(kind="number", minimum=0, maximum=1, nullable=True, description="Overrides model_config's."),
    "n": Kwarg(kind="integer", minimum=1, maximum=16, default=1, description="Completions per call; the first counts."),
    "stop": Kwarg(kind="array", nullable=True, description="Strings that end a completion."),
    "rollout_id": Kwarg(kind="integer", minimum=0, nullable=True, description="Asks for a fresh answer per number."),
}

REFUSED_MODULE_KWARGS = {
    "callbacks": "callbacks are Python objects and cannot be sent; the service records progress itself",
    "rationale_field": "it is a Python object; declare a reasoning field in the signature instead",
    "rationale_field_type": "it is a Python type; declare a reasoning field in the signature instead",
    "lm": _REFUSED_MODEL,
    "model": _REFUSED_MODEL,
    "api_base": _REFUSED_MODEL,
    "base_url": _REFUSED_MODEL,
}
"""The same for every module: what cannot be sent as JSON, or must not be."""

PREDICT = ModuleEntry(
    name="predict",
    factory="dspy.Predict",
    also_known_as=(
        "Predict",
        "dspy.Predict",
        "dspy.predict.Predict",
        "dspy.predict.predict.Predict",
        "dspy.modules.Predict",
    ),
    description="Asks the model for the outputs directly.",
    kwargs=_CALL_OPTIONS,
)

COT = ModuleEntry(
    name="cot",
    factory="dspy.ChainOfThought",
    also_known_as=(
        "chain_of_thought",
        "ChainOfThought",
        "dspy.ChainOfThought",
        "dspy.predict.ChainOfThought",
        "dspy.predict.chain_of_thought.ChainOfThought",
        "dspy.modules.ChainOfThought",
    ),
    description="Asks the model to reason before it answers.",
    kwargs=_CALL_OPTIONS,
)

MODULES = (PREDICT, COT)
