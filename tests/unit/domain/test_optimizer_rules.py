"""What DSPy would raise in the middle of a paid run is refused before anything is queued."""

import pytest
from pydantic import JsonValue

from dspy_service.domain.catalogue.kwargs import check_kwargs, with_defaults
from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.catalogue.rules import Asked
from dspy_service.domain.errors import UnsupportedRequestError
from dspy_service.domain.result import SplitCounts

Kwargs = dict[str, JsonValue]


def ask(name: str, kwargs: Kwargs, compile_kwargs: Kwargs, *, train: int = 70, val: int = 15) -> None:
    registry = Registry()
    entry = registry.optimizer(name)
    check_kwargs(kwargs, entry.kwargs, entry.refused_kwargs, field="optimizer_kwargs", owner=name)
    check_kwargs(compile_kwargs, entry.compile_kwargs, entry.refused_kwargs, field="compile_kwargs", owner=name)
    asked = Asked(
        optimizer=name,
        kwargs=with_defaults(kwargs, entry.kwargs),
        compile_kwargs=with_defaults(compile_kwargs, entry.compile_kwargs),
        splits=SplitCounts(train=train, val=val, test=15),
    )
    registry.rule(entry)(asked)


@pytest.mark.parametrize(
    ("kwargs", "compile_kwargs"),
    [
        ({}, {}),
        ({"auto": "heavy", "seed": 0}, {"seed": 3}),
        ({"auto": None, "num_candidates": 4}, {"num_trials": 6, "minibatch_size": 15}),
        ({"auto": None, "num_candidates": 4}, {"num_trials": 6, "minibatch": False}),
        ({"max_bootstrapped_demos": 0, "max_labeled_demos": 0}, {}),
        ({"auto": None, "num_candidates": 3, "max_bootstrapped_demos": 0}, {"num_trials": 2, "minibatch": False}),
        ({"max_bootstrapped_demos": 0}, {"max_bootstrapped_demos": 2}),
    ],
)
def test_mipro_accepts_what_dspy_accepts(kwargs: Kwargs, compile_kwargs: Kwargs) -> None:
    ask("miprov2", kwargs, compile_kwargs)


@pytest.mark.parametrize(
    ("kwargs", "compile_kwargs", "field"),
    [
        ({"num_candidates": 4}, {}, "optimizer_kwargs.num_candidates"),
        ({}, {"num_trials": 4}, "compile_kwargs.num_trials"),
        ({"auto": None}, {"num_trials": 4}, "optimizer_kwargs.num_candidates"),
        ({"auto": None, "num_candidates": 4}, {}, "compile_kwargs.num_trials"),
        ({"auto": None, "num_candidates": 4}, {"num_trials": 4}, "compile_kwargs.minibatch_size"),
        ({}, {"seed": 0}, "compile_kwargs.seed"),
        ({"max_bootstrapped_demos": 0}, {}, "optimizer_kwargs.max_bootstrapped_demos"),
        ({}, {"max_bootstrapped_demos": 0}, "optimizer_kwargs.max_bootstrapped_demos"),
        ({}, {"requires_permission_to_run": True}, "compile_kwargs.requires_permission_to_run"),
        ({"prompt_model": "x"}, {}, "optimizer_kwargs.prompt_model"),
        ({"teacher_settings": {}}, {}, "optimizer_kwargs.teacher_settings"),
        ({"log_dir": "logs"}, {}, "optimizer_kwargs.log_dir"),
        ({}, {"valset": []}, "compile_kwargs.valset"),
    ],
)
def test_mipro_refuses_what_would_fail_later(kwargs: Kwargs, compile_kwargs: Kwargs, field: str) -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        ask("miprov2", kwargs, compile_kwargs)

    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("auto", "val", "size"),
    [("light", 51, 52), ("light", 1000, 101), ("medium", 1000, 301), ("heavy", 2000, 1001)],
)
def test_a_minibatch_must_fit_into_the_rows_that_auto_keeps(auto: str, val: int, size: int) -> None:
    with pytest.raises(UnsupportedRequestError, match=f"is {size}, but there are only {size - 1} validation rows"):
        ask("miprov2", {"auto": auto}, {"minibatch_size": size}, val=val)


def test_auto_ignores_the_minibatch_when_the_valset_is_small() -> None:
    ask("miprov2", {"auto": "light"}, {"minibatch_size": 500}, val=50)


def test_mipro_divides_the_trainset_when_there_is_no_valset() -> None:
    manual: Kwargs = {"auto": None, "num_candidates": 4}

    ask("miprov2", manual, {"num_trials": 4, "minibatch_size": 8}, train=10, val=0)

    with pytest.raises(UnsupportedRequestError, match="only 8 validation rows"):
        ask("miprov2", manual, {"num_trials": 4, "minibatch_size": 9}, train=10, val=0)
    with pytest.raises(UnsupportedRequestError, match="it needs 2"):
        ask("miprov2", {}, {}, train=1, val=0)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"auto": "light"},
        {"max_full_evals": 1},
        {"max_metric_calls": 16},
        {"auto": "light", "track_stats": True, "track_best_outputs": True},
        {"auto": "light", "gepa_kwargs": {"acceptance_criterion": "improvement_or_equal"}},
        {"auto": "light", "gepa_kwargs": None},
    ],
)
def test_gepa_accepts_what_dspy_accepts(kwargs: Kwargs) -> None:
    ask("gepa", kwargs, {})


@pytest.mark.parametrize(
    ("kwargs", "field"),
    [
        ({}, "optimizer_kwargs"),
        ({"auto": "light", "max_full_evals": 2}, "optimizer_kwargs"),
        ({"max_metric_calls": 15}, "optimizer_kwargs.max_metric_calls"),
        ({"auto": "light", "track_best_outputs": True}, "optimizer_kwargs.track_best_outputs"),
        ({"auto": "light", "component_selector": "mine"}, "optimizer_kwargs.component_selector"),
        ({"auto": "light", "seed": None}, "optimizer_kwargs.seed"),
        ({"auto": "light", "use_wandb": True}, "optimizer_kwargs.use_wandb"),
        ({"auto": "light", "use_mlflow": False}, "optimizer_kwargs.use_mlflow"),
        ({"auto": "light", "instruction_proposer": "x"}, "optimizer_kwargs.instruction_proposer"),
        ({"auto": "light", "gepa_kwargs": {"run_dir": "logs"}}, "optimizer_kwargs.gepa_kwargs.run_dir"),
        ({"auto": "light", "gepa_kwargs": {"display_progress_bar": True}}, "gepa_kwargs.display_progress_bar"),
        ({"auto": "light", "gepa_kwargs": {"merge_val_overlap_floor": 0}}, "gepa_kwargs.merge_val_overlap_floor"),
    ],
)
def test_gepa_refuses_what_would_fail_later(kwargs: Kwargs, field: str) -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        ask("gepa", kwargs, {})

    assert caught.value.field.endswith(field)
    assert field in str(caught.value)


def test_gepa_validates_on_the_trainset_when_there_is_no_valset() -> None:
    with pytest.raises(UnsupportedRequestError, match="first score on 70 validation rows uses up; send at least 71"):
        ask("gepa", {"max_metric_calls": 70}, {}, val=0)
    with pytest.raises(UnsupportedRequestError, match=r"max_full_evals: is 1, which .* uses up"):
        ask("gepa", {"max_full_evals": 1}, {}, val=0)

    ask("gepa", {"max_full_evals": 2}, {}, val=0)


@pytest.mark.parametrize("restrict", [None, [-3], [0, 15]])
def test_random_search_accepts_candidates_that_exist(restrict: JsonValue) -> None:
    ask("bootstrap_few_shot_with_random_search", {}, {"restrict": restrict})


@pytest.mark.parametrize("restrict", [[], [16], [-4], [0, "1"], [True], [0.5]])
def test_random_search_refuses_candidates_that_do_not(restrict: JsonValue) -> None:
    with pytest.raises(UnsupportedRequestError, match="must list integers from -3 to 15"):
        ask("bootstrap_few_shot_with_random_search", {}, {"restrict": restrict})


def test_the_rest_of_the_few_shot_family_has_no_rule() -> None:
    ask("bootstrap_few_shot", {"max_rounds": 2}, {}, val=0)
    ask("labeled_few_shot", {"k": 3}, {"sample": False}, val=0)
