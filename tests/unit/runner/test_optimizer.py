"""How an optimizer is built from an order."""

from typing import Any

import dspy
import pytest

from dspy_service.domain.catalogue.registry import Registry
from dspy_service.domain.spec import ColumnMapping, JobSpec
from dspy_service.domain.splits import Split
from workers.runner.failures import JobFailed
from workers.runner.metric import Metric
from workers.runner.models import BrokerLM, RoleTally, build_lm
from workers.runner.observing import GepaWatcher, Trials
from workers.runner.optimizer import Optimization, build_optimization, gepa_budget
from workers.runner.order import Order
from workers.runner.planner import Planner
from workers.runner.program import build_examples, build_program, check_fields, resolve
from workers.runner.reporting import Reporter
from workers.runner.stage import Stage


class Quiet:
    """A channel that only remembers."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []

    def note(self, frame: dict[str, Any]) -> None:
        self.notes.append(frame)


class Pair(dspy.Signature):  # type: ignore[misc]  # DSPy is untyped
    """Answer."""

    a: str = dspy.InputField()
    b: str = dspy.OutputField()


def _order(optimizer: str, **changes: Any) -> Order:  # noqa: ANN401  # JSON
    spec = JobSpec.model_validate(
        {
            "signature_code": "x",
            "metric_code": "x",
            "column_mapping": {"inputs": {"a": "first"}, "outputs": {"b": "second"}},
            "optimizer_name": optimizer,
            "model_config": {"name": "m"},
            "seed": 1,
            **changes,
        },
    )
    registry = Registry()
    return Order(
        job_id="j",
        spec=spec,
        module=registry.module(spec.module_name),
        optimizer=registry.optimizer(optimizer),
        roles={},
        num_threads=6,
        rows=(),
    )


def _models(*roles: str) -> dict[str, BrokerLM]:
    stage = Stage(Quiet(), phase=None, heard=lambda _replayed, _seconds: None)  # type: ignore[arg-type]  # never asked
    return {role: build_lm(stage, role, {"model": f"openai/{role}"}, RoleTally(role)) for role in roles}


def _build(order: Order, *, train: int = 8, val: int = 6) -> tuple[Optimization, Quiet]:
    quiet = Quiet()
    reporter = Reporter(quiet)  # type: ignore[arg-type]  # only notes are sent here
    rows = build_examples([{"first": str(i), "second": "s"} for i in range(train + val)], order.spec.column_mapping)
    models = _models("task", "prompt", "reflection")
    with dspy.context(lm=models["task"]):
        optimization = build_optimization(
            order,
            Split(rows[:train], rows[train:], []),
            metric=Metric(_metric, style=order.optimizer.metric_style),
            models=models,
            gepa_watcher=GepaWatcher(Trials(reporter), Planner(), None, student=dspy.Predict(Pair)),
            reporter=reporter,
        )
    return optimization, quiet


def _metric(gold: Any, pred: Any, trace: Any = None, name: Any = None, more: Any = None) -> float:  # noqa: ANN401  # DSPy
    return 1.0


def test_each_role_goes_to_the_argument_that_wants_it() -> None:
    optimization, _ = _build(_order("miprov2"))

    assert optimization.optimizer.prompt_model.role == "prompt"
    assert optimization.optimizer.task_model.role == "task"


def test_the_threads_of_the_job_are_the_default_only() -> None:
    default, _ = _build(_order("miprov2"))
    asked, _ = _build(_order("miprov2", optimizer_kwargs={"num_threads": 2}))

    assert (default.optimizer.num_threads, asked.optimizer.num_threads) == (6, 2)


def test_gepa_keeps_its_own_options_beside_ours() -> None:
    order = _order(
        "gepa",
        optimizer_kwargs={"max_metric_calls": 9, "gepa_kwargs": {"acceptance_criterion": "improvement_or_equal"}},
    )

    optimization, _ = _build(order)

    assert optimization.optimizer.gepa_kwargs["use_cloudpickle"] is True
    assert optimization.optimizer.gepa_kwargs["acceptance_criterion"] == "improvement_or_equal"
    assert len(optimization.optimizer.gepa_kwargs["callbacks"]) == 1
    assert optimization.optimizer.log_dir is None


def test_an_empty_valset_is_not_handed_over() -> None:
    optimization, _ = _build(_order("miprov2"), val=0)

    assert set(optimization.compile_kwargs) == {"trainset"}


@pytest.mark.parametrize(
    ("optimizer", "kwargs"),
    [("gepa", {}), ("gepa", {"auto": "light", "max_metric_calls": 3}), ("miprov2", {"auto": "huge"})],
)
def test_what_an_optimizer_refuses_is_an_optimizer_error(optimizer: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(JobFailed) as caught:
        _build(_order(optimizer, optimizer_kwargs=kwargs))

    assert caught.value.failure.kind == "optimizer_error"


def test_miprov2_without_a_valset_needs_two_rows() -> None:
    with pytest.raises(JobFailed, match="at least 2 training rows"):
        _build(_order("miprov2"), train=1, val=0)


@pytest.mark.parametrize(
    ("val", "compile_kwargs", "minibatch", "warned"),
    [(6, {}, False, True), (35, {}, None, False), (6, {"minibatch": False}, False, False)],
)
def test_manual_mipro_uses_minibatches_only_where_they_fit(
    val: int,
    compile_kwargs: dict[str, Any],
    minibatch: bool | None,  # noqa: FBT001  # a table column
    warned: bool,  # noqa: FBT001  # a table column
) -> None:
    manual = {"auto": None, "num_candidates": 3}
    order = _order("miprov2", optimizer_kwargs=manual, compile_kwargs={"num_trials": 2, **compile_kwargs})

    optimization, quiet = _build(order, val=val)

    assert optimization.compile_kwargs.get("minibatch") is minibatch
    assert bool(quiet.notes) is warned


@pytest.mark.parametrize(("rows", "refused"), [(60, True), (50, False), (150, True)])
def test_a_minibatch_size_that_does_not_fit_is_refused_with_auto_too(rows: int, refused: bool) -> None:  # noqa: FBT001  # a table column
    order = _order("miprov2", compile_kwargs={"minibatch_size": 120})

    if refused:
        with pytest.raises(JobFailed, match="set at most"):
            _build(order, val=rows)
    else:
        assert _build(order, val=rows)


@pytest.mark.parametrize(
    "kwargs",
    [{"auto": "light"}, {"max_full_evals": 3}, {"max_metric_calls": 99}],
)
def test_the_budget_is_the_one_that_gepa_itself_announces(kwargs: dict[str, Any]) -> None:
    optimization, _ = _build(_order("gepa", optimizer_kwargs=kwargs))
    split = Split([dspy.Example()] * 8, [dspy.Example()] * 6, [])

    budget = gepa_budget(optimization.optimizer, dspy.Predict(Pair), split)

    light = optimization.optimizer.auto_budget(num_preds=1, num_candidates=6, valset_size=6)
    assert budget == {"auto": light, "max_full_evals": 3 * 14, "max_metric_calls": 99}[next(iter(kwargs))]


def test_other_optimizers_have_no_such_budget() -> None:
    assert gepa_budget(dspy.LabeledFewShot(), dspy.Predict(Pair), Split([], [], [])) == 0


def test_examples_hold_mapped_columns_under_their_field_names() -> None:
    mapping = _order("miprov2").spec.column_mapping

    (example,) = build_examples([{"first": "1", "second": "2", "third": "3"}], mapping)

    assert example.toDict() == {"a": "1", "b": "2"}
    assert example.inputs().toDict() == {"a": "1"}


def test_an_example_may_have_fields_named_like_parameters() -> None:
    mapping = ColumnMapping(inputs={"base": "first"}, outputs={"self": "second"})

    (example,) = build_examples([{"first": "1", "second": "2"}], mapping)

    assert example.toDict() == {"base": "1", "self": "2"}
    assert example.inputs().toDict() == {"base": "1"}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"inputs": {"x": "first"}, "outputs": {"b": "second"}}, "needs a column for a; Pair has no field x"),
        ({"inputs": {"a": "first"}, "outputs": {"c": "second"}}, "Pair has no field c"),
    ],
)
def test_a_mapping_must_fit_the_signature(mapping: dict[str, Any], words: str) -> None:
    spec = _order("miprov2", column_mapping=mapping).spec

    with pytest.raises(JobFailed, match=words) as caught:
        check_fields(Pair, spec.column_mapping)

    assert caught.value.failure.kind == "signature_error"


@pytest.mark.parametrize("path", ["dspy.ChainOfThought", "dspy.teleprompt.gepa.gepa.GEPA", "collections.OrderedDict"])
def test_a_dotted_path_is_resolved(path: str) -> None:
    assert resolve(path).__name__ == path.rpartition(".")[2]


@pytest.mark.parametrize("path", ["dspy.NoSuchThing", "no_such_package.Thing", "nothing"])
def test_a_dotted_path_to_nothing_is_a_program_error(path: str) -> None:
    with pytest.raises(JobFailed, match="Nothing is importable") as caught:
        resolve(path)

    assert caught.value.failure.kind == "program_error"


def test_a_factory_that_makes_no_module_is_a_program_error() -> None:
    order = _order("miprov2")
    odd = Order(**{**vars(order), "module": order.module.model_copy(update={"factory": "builtins.repr"})})

    with pytest.raises(JobFailed, match=r"made a str, not a dspy\.Module"):
        build_program(odd, Pair)


def test_a_factory_that_refuses_is_a_program_error() -> None:
    order = _order("miprov2", module_kwargs={"n": 1})
    odd = Order(**{**vars(order), "module": order.module.model_copy(update={"factory": "builtins.repr"})})

    with pytest.raises(JobFailed, match="TypeError") as caught:
        build_program(odd, Pair)

    assert caught.value.failure.kind == "program_error"
