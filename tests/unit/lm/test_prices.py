"""What a call costs, and whether that can be told at all."""

from dataclasses import replace
from datetime import date
from importlib.metadata import version

import pytest
from dspy.lm15 import Message, Request, Usage

from dspy_service.domain.spec import ModelSettings
from tests.support.lm_calls import response
from workers.lm.models_file import ModelPrice, ModelsFile
from workers.lm.prices import Pricing, pricing

OWN = ModelPrice(input_usd_per_million_tokens=2.0, output_usd_per_million_tokens=10.0)
MODELS = ModelsFile(
    prices_as_of=date(2026, 1, 31),
    prices={"openai/gpt-4o-mini": OWN, "gemini/own": OWN, "openai/x@http://127.0.0.1:9": OWN},
)


def cost(priced: Pricing, model: str = "gpt-4o-mini", **usage: int | None) -> float | None:
    used = Usage(**{"input_tokens": 1_000_000, "output_tokens": 100_000, **usage})
    answer = replace(response("hi"), model=model, usage=used)
    return priced.price(Request(model=model, messages=(Message.user("hi"),)), answer)


def test_the_operators_price_stands_before_the_bundled_one() -> None:
    settings = ModelSettings(name="openai/gpt-4o-mini")

    own = pricing(settings, provider="openai-chat", models=MODELS)
    bundled = pricing(settings, provider="openai-chat", models=ModelsFile())

    assert cost(own) == pytest.approx(2.0 + 1.0)
    assert cost(bundled) == pytest.approx(0.15 + 0.06)
    assert own.is_known
    assert bundled.is_known


def test_a_cost_says_which_list_it_goes_by() -> None:
    settings = ModelSettings(name="openai/gpt-4o-mini")

    own = pricing(settings, provider="openai-chat", models=MODELS)
    undated = pricing(settings, provider="openai-chat", models=MODELS.model_copy(update={"prices_as_of": None}))
    bundled = pricing(settings, provider="openai-chat", models=ModelsFile())

    assert own.as_of == "models file of 2026-01-31"
    assert undated.as_of == "models file"
    assert bundled.as_of is not None
    assert bundled.as_of.startswith("LiteLLM 1.")
    assert version("dspy") in bundled.as_of


def test_a_model_that_no_list_knows_is_said_to_be_unpriced_and_costs_nothing_that_could_be_told() -> None:
    unknown = pricing(ModelSettings(name="openai/unheard-of"), provider="openai-chat", models=MODELS)

    assert not unknown.is_known
    assert unknown.as_of is None
    assert cost(unknown, "unheard-of") is None


def test_a_bundled_price_is_that_of_the_model_that_answered() -> None:
    alias = pricing(ModelSettings(name="openai/our-alias"), provider="openai-chat", models=ModelsFile())

    assert not alias.is_known
    assert cost(alias, "gpt-4o-mini") == pytest.approx(0.21)


def test_a_name_behind_a_base_url_has_only_the_price_that_was_written_for_it_there() -> None:
    there = ModelSettings(name="openai/x", base_url="http://127.0.0.1:9/v1")
    elsewhere = ModelSettings(name="openai/gpt-4o-mini", base_url="http://127.0.0.1:9/v1")

    priced = pricing(there, provider="openai-chat", models=MODELS)
    unpriced = pricing(elsewhere, provider="openai-chat", models=MODELS)

    assert cost(priced) == pytest.approx(3.0)
    assert not unpriced.is_known
    assert cost(unpriced) is None


@pytest.mark.parametrize("missing", ["input_tokens", "output_tokens"])
def test_tokens_that_a_provider_does_not_tell_have_no_price(missing: str) -> None:
    own = pricing(ModelSettings(name="openai/gpt-4o-mini"), provider="openai-chat", models=MODELS)

    assert cost(own, **{missing: None}) is None


def test_reasoning_costs_as_output_where_the_provider_counts_it_apart() -> None:
    apart = pricing(ModelSettings(name="gemini/own"), provider="gemini", models=MODELS)
    within = pricing(ModelSettings(name="openai/gpt-4o-mini"), provider="openai-chat", models=MODELS)

    assert cost(apart, "own", reasoning_tokens=50_000) == pytest.approx(2.0 + 1.5)
    assert cost(within, reasoning_tokens=50_000) == pytest.approx(2.0 + 1.0)
