"""The catalogue says what the installed DSPy says: every parameter, every default, every name, both ways."""

import importlib
import inspect
import types
import typing
from collections.abc import Mapping

import pytest

from dspy_service.domain.catalogue import few_shot, gepa, mipro
from dspy_service.domain.catalogue.entries import Kwarg, ModuleEntry, OptimizerEntry
from dspy_service.domain.catalogue.modules import COT, MODULES, PREDICT, REFUSED_MODULE_KWARGS

OPTIMIZERS = (mipro.ENTRY, gepa.ENTRY, few_shot.BOOTSTRAP, few_shot.RANDOM_SEARCH, few_shot.LABELED)

CONTRACT_NAMES = {"dspy.modules.Predict", "dspy.modules.ChainOfThought"}
"""Written in the HTTP contract; DSPy itself has no such module any more."""

STRICTER_THAN_DSPY = {("gepa", "seed")}
"""DSPy takes null here and we do not; the kwarg's description says why."""

KINDS = {int: "integer", float: "number", bool: "boolean", str: "string", dict: "object", list: "array"}

Parameters = Mapping[str, inspect.Parameter]


def parameters(function: object) -> Parameters:
    found = dict(inspect.signature(function, eval_str=False).parameters)  # type: ignore[arg-type]  # any callable
    found.pop("self", None)
    return found


def resolve(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def optimizer_class(entry: OptimizerEntry) -> type:
    found = resolve(entry.factory)
    assert isinstance(found, type)
    return found


def method(cls: object, name: str) -> object:
    return getattr(cls, name)


def sides(entry: OptimizerEntry) -> list[tuple[Mapping[str, Kwarg], Parameters]]:
    cls = optimizer_class(entry)
    return [(entry.kwargs, parameters(cls)), (entry.compile_kwargs, parameters(method(cls, "compile")))]


def name_of(entry: OptimizerEntry | ModuleEntry) -> str:
    return entry.name


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_every_parameter_of_dspy_is_offered_or_refused(entry: OptimizerEntry) -> None:
    for offered, real in sides(entry):
        undecided = set(real) - set(offered) - set(entry.refused_kwargs)

        assert not undecided


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_everything_that_is_offered_exists_in_dspy(entry: OptimizerEntry) -> None:
    for offered, real in sides(entry):
        assert set(offered) <= set(real)


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_defaults_are_those_of_dspy(entry: OptimizerEntry) -> None:
    for offered, real in sides(entry):
        expected = {name: real[name].default for name in offered}

        assert {name: kwarg.default for name, kwarg in offered.items()} == expected


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_kinds_and_null_are_those_of_dspy(entry: OptimizerEntry) -> None:
    for offered, real in sides(entry):
        for name, kwarg in offered.items():
            kinds, nullable = described(real[name])

            assert not kinds or kwarg.kind in kinds, name
            assert kwarg.nullable is nullable or (entry.name, name) in STRICTER_THAN_DSPY, name


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_no_kwarg_is_both_offered_and_refused(entry: OptimizerEntry) -> None:
    assert not set(entry.refused_kwargs) & (set(entry.kwargs) | set(entry.compile_kwargs))


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_models_go_to_constructor_parameters_that_exist(entry: OptimizerEntry) -> None:
    real = parameters(optimizer_class(entry))

    assert set(entry.role_kwargs.values()) <= set(real)


@pytest.mark.parametrize("entry", OPTIMIZERS, ids=name_of)
def test_a_valset_is_handed_over_exactly_where_compile_takes_one(entry: OptimizerEntry) -> None:
    real = parameters(method(optimizer_class(entry), "compile"))

    assert entry.takes_valset == ("valset" in real)


def test_the_optimizers_that_keep_their_best_are_those_that_score_whole_programs_on_a_valset() -> None:
    keeping = {entry.name for entry in OPTIMIZERS if entry.keeps_best}

    assert keeping == {entry.name for entry in OPTIMIZERS if entry.takes_valset}


def test_every_optimizer_is_resumable() -> None:
    assert all(entry.resumable for entry in OPTIMIZERS)


@pytest.mark.parametrize("entry", [*OPTIMIZERS, *MODULES], ids=name_of)
def test_every_dotted_name_is_the_same_object(entry: OptimizerEntry | ModuleEntry) -> None:
    dotted = [name for name in entry.also_known_as if "." in name and name not in CONTRACT_NAMES]

    assert dotted
    assert {resolve(name) for name in dotted} == {resolve(entry.factory)}


@pytest.mark.parametrize("entry", [PREDICT, COT], ids=name_of)
def test_module_parameters_are_refused_and_the_rest_goes_to_the_model(entry: ModuleEntry) -> None:
    real = parameters(method(resolve(entry.factory), "__init__"))
    own = {name for name, each in real.items() if each.kind is not inspect.Parameter.VAR_KEYWORD}

    assert own - {"signature"} <= set(REFUSED_MODULE_KWARGS)
    assert any(each.kind is inspect.Parameter.VAR_KEYWORD for each in real.values())
    assert not set(entry.kwargs) & set(REFUSED_MODULE_KWARGS)


def test_the_sizes_that_mipro_chooses_by_itself_are_those_of_dspy() -> None:
    real = importlib.import_module("dspy.teleprompt.mipro_optimizer_v2")

    assert {name: each["val_size"] for name, each in real.AUTO_RUN_SETTINGS.items()} == mipro._AUTO_VALSET_ROWS
    assert real.MIN_MINIBATCH_SIZE == mipro._AUTO_MINIBATCH_ABOVE


def test_every_option_of_the_gepa_engine_is_decided() -> None:
    engine = importlib.import_module("gepa.api")
    by_dspy = set(gepa.ENTRY.kwargs) | {"trainset", "valset", "seed_candidate"}
    # dspy.GEPA passes these itself, or they have no effect with its adapter; both are unknown kwargs for a client
    not_offered = {
        *("cache_evaluation", "custom_candidate_proposer", "display_progress_bar", "evaluator", "frontier_type"),
        *("module_selector", "raise_on_exception", "reflection_lm_kwargs", "use_cloudpickle"),
    }

    real = set(parameters(engine.optimize))

    assert real - by_dspy - not_offered == set(gepa._ENGINE_OPTIONS) | (set(gepa._ENGINE_REFUSED) - {"seed"})


def described(parameter: inspect.Parameter) -> tuple[set[str], bool]:
    """Return the JSON kinds that an annotation (or else the default) allows, and whether null is among them."""
    if parameter.annotation is inspect.Parameter.empty:
        default = parameter.default
        return (set(), True) if default is None else ({KINDS[type(default)]}, False)
    allowed = members(parameter.annotation)
    return {KINDS[each] for each in allowed if each in KINDS}, type(None) in allowed


def members(annotation: object) -> set[object]:
    if isinstance(annotation, str):  # a forward reference such as "Selector | str"
        return {str} if "str" in annotation.split(" | ") else set()
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return set().union(*(members(each) for each in typing.get_args(annotation)))
    if typing.get_origin(annotation) is typing.Literal:
        return {type(each) for each in typing.get_args(annotation)}
    return {typing.get_origin(annotation) or annotation}
