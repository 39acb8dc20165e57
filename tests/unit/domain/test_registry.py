"""Names find entries: short ones, dotted ones, and the operator's own."""

import pytest

from dspy_service.domain.catalogue.entries import ModuleEntry, OptimizerEntry
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.catalogue.rules import Asked, no_rule
from dspy_service.domain.errors import ConfigurationError, UnsupportedRequestError


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("miprov2", "miprov2"),
        ("dspy.MIPROv2", "miprov2"),
        ("dspy.teleprompt.MIPROv2", "miprov2"),
        ("dspy.GEPA", "gepa"),
        ("dspy.teleprompt.GEPA", "gepa"),
        ("dspy.BootstrapFewShot", "bootstrap_few_shot"),
        ("dspy.BootstrapRS", "bootstrap_few_shot_with_random_search"),
        ("dspy.teleprompt.BootstrapFewShotWithRandomSearch", "bootstrap_few_shot_with_random_search"),
        ("dspy.teleprompt.LabeledFewShot", "labeled_few_shot"),
    ],
)
def test_an_optimizer_answers_to_all_its_names(name: str, short: str) -> None:
    assert Registry().optimizer(name).name == short


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("predict", "predict"),
        ("dspy.Predict", "predict"),
        ("dspy.predict.Predict", "predict"),
        ("dspy.modules.Predict", "predict"),
        ("cot", "cot"),
        ("dspy.ChainOfThought", "cot"),
        ("dspy.modules.ChainOfThought", "cot"),
    ],
)
def test_a_module_answers_to_all_its_names(name: str, short: str) -> None:
    assert Registry().module(name).name == short


def test_an_unknown_optimizer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnsupportedRequestError, match=r"'mipro2'; did you mean 'miprov2'\?") as caught:
        Registry().optimizer("mipro2")

    assert caught.value.field == "optimizer_name"


def test_an_unknown_module_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnsupportedRequestError, match=r"Available: predict, cot\.") as caught:
        Registry().module("os.system")

    assert caught.value.field == "module_name"


def test_health_lists_short_names() -> None:
    registry = Registry()

    assert registry.module_names == ["predict", "cot"]
    assert registry.optimizer_names == [
        "bootstrap_few_shot",
        "bootstrap_few_shot_with_random_search",
        "gepa",
        "labeled_few_shot",
        "miprov2",
    ]


def test_an_operator_adds_a_module_and_an_optimizer_with_its_rule() -> None:
    registry = Registry()
    optimizer = OptimizerEntry(name="mine", factory="acme.Mine", also_known_as=("acme.Mine",))

    def rule(asked: Asked) -> None:
        raise UnsupportedRequestError(asked.optimizer)

    registry.register_optimizer(optimizer, rule=rule)
    registry.register_module(ModuleEntry(name="router", factory="acme.Router"))

    assert registry.optimizer("acme.Mine") is optimizer
    assert registry.rule(optimizer) is rule
    assert registry.module("router").factory == "acme.Router"
    assert "mine" in registry.optimizer_names


def test_an_optimizer_without_a_rule_accepts_any_combination() -> None:
    registry = Registry()
    optimizer = OptimizerEntry(name="mine", factory="acme.Mine")

    registry.register_optimizer(optimizer)

    assert registry.rule(optimizer) is no_rule


def test_a_name_can_be_taken_once() -> None:
    with pytest.raises(ConfigurationError, match=r"'dspy\.GEPA' is taken by dspy\.GEPA; register acme\.Mine under"):
        Registry().register_optimizer(OptimizerEntry(name="x", factory="acme.Mine", also_known_as=("dspy.GEPA",)))
