"""The demo model never sees the answers it is scored on, and scores better with a better prompt."""

import json
from pathlib import Path
from typing import Literal

import dspy
from dspy.lm15 import Request, Response

from workers.lm.demo.engine import DemoEngine

DATA = Path(__file__).parents[3] / "usage_guide" / "data"
TEAMS = ("billing", "logistics", "aftercare", "accounts", "platform", "advice")


class Route(dspy.Signature):
    """Route the ticket to the team that handles it."""

    ticket: str = dspy.InputField()
    team: Literal["billing", "logistics", "aftercare", "accounts", "platform", "advice"] = dspy.OutputField()


class Recorder(DemoEngine):
    """Keeps every request that reaches the model."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def complete(self, request: Request, *, sample: str = "") -> Response:
        self.requests.append(request)
        return super().complete(request, sample=sample)


def rows(name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return found


def tickets() -> list[dspy.Example]:
    return [dspy.Example(**row).with_inputs("ticket") for row in rows("support_tickets.json")]


def predictions(program: dspy.Module, examples: list[dspy.Example], engine: DemoEngine) -> list[str]:
    lm = dspy.LM("demo/in-context", engine=engine, cache=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        return [program(ticket=example.ticket).team for example in examples]


def share_right(answered: list[str], examples: list[dspy.Example]) -> float:
    return sum(team == example.team for team, example in zip(answered, examples, strict=True)) / len(examples)


def test_a_request_holds_the_input_and_no_gold_label() -> None:
    secret = dspy.Example(ticket="a lamp that hums", team="XQ-GOLD").with_inputs("ticket")
    engine = Recorder()
    lm = dspy.LM("demo/in-context", engine=engine, cache=False)

    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        dspy.Evaluate(devset=[secret], metric=lambda gold, found: gold.team == found.team)(dspy.Predict(Route))

    assert len(engine.requests) == 1
    assert "a lamp that hums" in repr(engine.requests[0])
    assert "XQ-GOLD" not in repr(engine.requests[0])


def test_permuting_the_gold_column_changes_no_prediction_but_the_score() -> None:
    examples = tickets()[:60]
    shift = {team: TEAMS[(index + 1) % len(TEAMS)] for index, team in enumerate(TEAMS)}
    permuted = [dspy.Example(ticket=e.ticket, team=shift[e.team]).with_inputs("ticket") for e in examples]

    answered = predictions(dspy.Predict(Route), examples, DemoEngine())
    answered_again = predictions(dspy.Predict(Route), permuted, DemoEngine())

    assert answered == answered_again
    assert share_right(answered, examples) > share_right(answered, permuted)


def test_an_empty_prompt_is_far_from_perfect_and_rules_raise_the_score() -> None:
    examples = tickets()
    rules = """billing: invoice, payment, charge, refund, fee, card, tax
    logistics: parcel, delivery, courier, tracking, address, shipment
    aftercare: return, exchange, broken, missing, warranty, repair
    accounts: login, password, profile, email, account, access
    platform: app, website, page, error, crash, browser, firmware
    advice: stock, price, offer, compare, recommend, size before buying"""

    plain = share_right(predictions(dspy.Predict(Route), examples, DemoEngine()), examples)
    ruled = share_right(predictions(dspy.Predict(Route.with_instructions(rules)), examples, DemoEngine()), examples)

    assert 0.25 < plain < 0.6
    assert ruled > plain + 0.15


def test_an_optimizer_raises_the_held_out_score() -> None:
    examples = tickets()
    train, val, test = examples[:126], examples[126:176], examples[176:]
    lm = dspy.LM("demo/in-context", engine=DemoEngine(), cache=False)

    def metric(gold: dspy.Example, found: dspy.Prediction, trace: object = None) -> float:
        del trace
        return float(gold.team == found.team)

    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        optimizer = dspy.MIPROv2(metric=metric, auto="light", num_threads=2, verbose=False)
        compiled = optimizer.compile(dspy.Predict(Route), trainset=train, valset=val)

    before = share_right(predictions(dspy.Predict(Route), test, DemoEngine()), test)
    after = share_right(predictions(compiled, test, DemoEngine()), test)
    assert after >= before + 0.15


def test_the_sample_data_is_balanced_and_unique() -> None:
    found = rows("support_tickets.json")

    assert len({row["ticket"] for row in found}) == len(found) == 252
    assert all(sum(row["team"] == team for row in found) == 42 for team in TEAMS)


def test_every_order_id_stands_in_its_message() -> None:
    found = rows("order_lines.json")

    assert len({row["message"] for row in found}) == len(found) == 220
    assert all(row["order_id"] in row["message"] for row in found)
