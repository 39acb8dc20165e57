"""Bounds on what a job may spend."""

import dataclasses
from contextlib import ExitStack

import pytest

from dspy_service.domain.budget import Budget, ModelBudget, RoleBudgets
from dspy_service.domain.errors import ModelCallError
from dspy_service.domain.journal_entry import Origin
from tests.support.lm_calls import entry
from workers.lm.budget_guard import BudgetGuard
from workers.lm.meter import Meter


class Spender:
    """Calls that cost 5 tokens and half a dollar each, until the guard refuses one."""

    def __init__(self, budget: Budget | None, *, keeps_reserve: bool = True) -> None:
        self.meter = Meter({"task": "m", "prompt": "p"})
        self.guard = BudgetGuard(budget, self.meter, keeps_reserve=keeps_reserve)
        self.made = 0

    def call(self, role: str = "task") -> None:
        with self.guard.flight(role, self.guard.phase):
            answer = entry(self.made, role=role)
            self.made += 1
            self.meter.enter(answer)
        self.guard.note_use(answer)

    def spend(self, role: str = "task", *, at_most: int = 1000) -> int:
        """Call until refused; return how many calls that were."""
        for number in range(at_most):
            try:
                self.call(role)
            except ModelCallError as error:
                assert error.kind == "budget_exhausted"  # noqa: PT017  # which error ends the spending is the point
                return number
        return at_most


@pytest.mark.parametrize(
    ("budget", "calls", "bound"),
    [
        (Budget(max_lm_calls=7), 7, "max_lm_calls of 7"),
        (Budget(max_tokens=31), 7, "max_tokens of 31"),
        (Budget(max_tokens=30), 6, "max_tokens of 30"),
        (Budget(max_usd=2.0), 4, "max_usd of 2.0"),
        (Budget(max_usd=2.1), 5, "max_usd of 2.1"),
        (Budget(max_usd=2.0, max_lm_calls=3), 3, "max_lm_calls of 3"),
        (Budget(roles=RoleBudgets(task=ModelBudget(max_lm_calls=2))), 2, "roles.task.max_lm_calls of 2"),
        (Budget(roles=RoleBudgets(task=ModelBudget(max_tokens=10))), 2, "roles.task.max_tokens of 10"),
        (Budget(roles=RoleBudgets(task=ModelBudget(max_usd=1.5))), 3, "roles.task.max_usd of 1.5"),
    ],
)
def test_a_call_is_refused_once_a_bound_is_reached(budget: Budget, calls: int, bound: str) -> None:
    spender = Spender(budget)

    made = spender.spend()

    assert made == calls
    assert bound in spender.guard.spent


@pytest.mark.parametrize("budget", [None, Budget(), Budget(max_seconds=1, max_metric_calls=1, stop_at_score=0.1)])
def test_without_a_bound_on_calls_nothing_is_refused(budget: Budget | None) -> None:
    spender = Spender(budget)

    assert spender.spend(at_most=200) == 200
    assert spender.guard.spent is None


def test_a_bound_of_the_job_counts_all_roles_together() -> None:
    spender = Spender(Budget(max_lm_calls=7))
    spender.spend("prompt", at_most=3)

    assert spender.spend("task") == 4


def test_a_bound_of_one_role_leaves_the_others_alone() -> None:
    spender = Spender(Budget(max_lm_calls=10, roles=RoleBudgets(prompt=ModelBudget(max_lm_calls=2))))

    assert spender.spend("prompt") == 2
    assert spender.spend("task") == 8


def test_what_earlier_attempts_spent_counts() -> None:
    spender = Spender(Budget(max_lm_calls=7))
    for number in range(100, 105):
        spender.meter.enter(entry(number))

    assert spender.spend() == 2


@pytest.mark.parametrize("origin", ["cache", "refusal"])
def test_what_was_free_does_not_count(origin: Origin) -> None:
    spender = Spender(Budget(max_lm_calls=2, max_tokens=100, max_usd=100))
    for number in range(100, 150):
        spender.meter.enter(entry(number, origin=origin))

    assert spender.spend() == 2


def test_calls_in_flight_count_as_if_they_were_answered() -> None:
    spender = Spender(Budget(max_lm_calls=3))
    with ExitStack() as flights:
        for role in ("task", "prompt", "task"):
            flights.enter_context(spender.guard.flight(role, None))

        refused = spender.spend()

    assert refused == 0
    assert spender.spend() == 3


def test_tokens_of_calls_in_flight_are_not_known_and_do_not_count() -> None:
    spender = Spender(Budget(max_tokens=5))
    with ExitStack() as flights:
        for _ in range(4):
            flights.enter_context(spender.guard.flight("task", None))

        assert spender.spend() == 1


def test_a_flight_that_came_down_without_an_answer_is_free() -> None:
    spender = Spender(Budget(max_lm_calls=1))
    with pytest.raises(TimeoutError), spender.guard.flight("task", None):
        raise TimeoutError

    assert spender.spend() == 1


@pytest.mark.parametrize(
    ("budget", "compiling", "finally_"),
    [
        (Budget(max_lm_calls=100), 60, 20),
        (Budget(max_tokens=500), 60, 20),
        (Budget(max_usd=50), 60, 20),
        (Budget(roles=RoleBudgets(task=ModelBudget(max_lm_calls=100))), 60, 20),
    ],
)
def test_the_final_evaluation_is_kept_for_until_it_begins(budget: Budget, compiling: int, finally_: int) -> None:
    spender = Spender(budget)
    spender.guard.begin("baseline")
    spender.spend(at_most=20)

    spender.guard.begin("compile")
    spent_compiling = spender.spend()
    spender.guard.begin("final")
    spent_finally = spender.spend()

    assert (spent_compiling, spent_finally) == (compiling, finally_)
    assert "kept for the final evaluation" in spender.guard.spent


@pytest.mark.parametrize(
    ("limit", "spent", "sentence"),
    [
        (50, 40, "The budget's max_tokens of 50 is spent; 10 of it is kept for the final evaluation."),
        (50, 110, "The budget's max_tokens of 50 is spent."),
        (500, 260, "The budget's max_tokens of 500 is spent; 240 of it is kept for the final evaluation."),
    ],
)
def test_no_more_is_said_to_be_kept_than_there_is(limit: int, spent: int, sentence: str) -> None:
    spender = Spender(Budget(max_tokens=limit))
    spender.guard.begin("baseline")
    answers = [entry(number) for number in range(spent // 5)]
    for answer in answers:
        spender.meter.enter(answer)
        spender.guard.note_use(answer)

    spender.spend()

    assert spender.guard.spent == sentence


def test_a_baseline_that_could_not_be_repeated_is_stopped_half_way() -> None:
    spender = Spender(Budget(max_lm_calls=100))
    spender.guard.begin("baseline")

    assert spender.spend() == 50


def test_a_baseline_that_is_replayed_keeps_as_much_as_one_that_was_paid_for() -> None:
    spender = Spender(Budget(max_lm_calls=100))
    earlier = [entry(number) for number in range(1000, 1040)]
    for answer in earlier:
        spender.meter.enter(answer)

    spender.guard.begin("baseline")
    for answer in [*earlier[:20], *earlier[:20]]:
        spender.guard.note_use(answer)
    spender.guard.begin("compile")

    assert spender.spend() == 100 - 40 - 20


def test_a_baseline_from_the_tenants_cache_is_kept_for_because_the_final_one_may_cost() -> None:
    spender = Spender(Budget(max_lm_calls=100))
    spender.guard.begin("baseline")
    for number in range(1000, 1020):
        answer = entry(number, origin="cache")
        spender.meter.enter(answer)
        spender.guard.note_use(answer)
    spender.guard.begin("compile")

    assert spender.spend() == 80


def test_where_no_program_is_to_be_had_early_nothing_is_kept() -> None:
    spender = Spender(Budget(max_lm_calls=100), keeps_reserve=False)
    spender.guard.begin("baseline")
    spender.spend(at_most=20)
    spender.guard.begin("compile")

    assert spender.spend() == 80


def test_what_is_kept_grows_with_the_prompts() -> None:
    spender = Spender(Budget(max_tokens=1000))
    spender.guard.begin("baseline")
    spender.spend(at_most=10)
    spender.guard.begin("compile")
    for number in range(1000, 1010):
        spender.guard.note_use(dataclasses.replace(entry(number), prompt_tokens=33))

    spent_compiling = spender.spend()
    spender.guard.begin("final")

    assert spent_compiling == (1000 - 10 * 5 - 10 * 35) / 5
    assert spender.spend() == 10 * 35 / 5


def test_a_single_dear_call_is_not_the_price_of_all() -> None:
    spender = Spender(Budget(max_tokens=1000))
    spender.guard.begin("baseline")
    spender.spend(at_most=10)
    spender.guard.begin("compile")
    spender.spend(at_most=20)
    spender.guard.note_use(dataclasses.replace(entry(1000), prompt_tokens=103))

    assert spender.spend() == (1000 - 30 * 5 - (9 * 5 + 105)) / 5


def test_what_other_roles_cost_is_not_the_final_evaluations_price() -> None:
    spender = Spender(Budget(max_tokens=1000))
    spender.guard.begin("baseline")
    spender.spend(at_most=10)
    spender.guard.begin("compile")
    for number in range(1000, 1010):
        spender.guard.note_use(dataclasses.replace(entry(number, role="prompt"), prompt_tokens=1000))

    assert spender.spend() == (1000 - 50 - 50) / 5


def test_what_is_used_after_the_baseline_is_not_kept_for() -> None:
    spender = Spender(Budget(max_lm_calls=100))
    spender.guard.begin("compile")
    spender.spend(at_most=30)
    spender.guard.begin("final")

    assert spender.spend() == 70


def test_an_answer_without_a_price_ends_a_job_that_is_bound_in_money() -> None:
    spender = Spender(Budget(max_usd=1000))
    spender.meter.enter(entry(1, cost_usd=None))

    assert spender.spend() == 0
    assert spender.guard.spent == "A call to model had no price, so that max_usd cannot be kept."


def test_the_first_refusal_is_the_one_that_is_told() -> None:
    spender = Spender(Budget(max_lm_calls=2, roles=RoleBudgets(task=ModelBudget(max_lm_calls=1))))
    spender.spend("task")
    spender.spend("prompt")

    assert spender.guard.spent == "The budget's roles.task.max_lm_calls of 1 is spent."
