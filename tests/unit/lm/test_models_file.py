"""The operator's prices and limits: what the file may say, and what it is told when it says something else."""

from datetime import date
from pathlib import Path

import pytest

from dspy_service.domain.errors import ConfigurationError
from workers.lm.models_file import ModelsFile, read_models_file

GOOD = """
prices_as_of = 2026-01-31

[prices."openai/gpt-x"]
input_usd_per_million_tokens = 2.5
output_usd_per_million_tokens = 10

[prices."qwen/qwen3@http://127.0.0.1:8000"]
input_usd_per_million_tokens = 0
output_usd_per_million_tokens = 0

[limits.openai]
requests_per_minute = 500
tokens_per_minute = 200_000

[limits."https://llm.example:443"]
max_in_flight = 8
"""


def _written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_says_prices_and_limits(tmp_path: Path) -> None:
    models = read_models_file(_written(tmp_path, GOOD))

    assert models.prices_as_of == date(2026, 1, 31)
    assert models.prices["openai/gpt-x"].output_usd_per_million_tokens == 10
    assert models.limits["openai"].requests_per_minute == 500
    assert models.limits["openai"].max_in_flight is None
    assert models.limits["https://llm.example:443"].max_in_flight == 8


@pytest.mark.parametrize("text", [None, ""])
def test_no_file_and_an_empty_one_say_nothing(tmp_path: Path, text: str | None) -> None:
    path = None if text is None else _written(tmp_path, text)

    assert read_models_file(path) == ModelsFile()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[limit.openai]", r"limit has no meaning; write one of prices_as_of, prices, limits\."),
        (
            "[limits.openai]\nrequests_per_min = 5",
            r"limits\.openai\.requests_per_min has no meaning; write one of requests_per_minute, tokens_per_minute",
        ),
        (
            '[prices."openai/x"]\ninput_usd_per_million_tokens = 1',
            r'prices\."openai/x"\.output_usd_per_million_tokens is missing',
        ),
        (
            '[prices."openai/x"]\ninput_usd_per_million_tokens = -1\noutput_usd_per_million_tokens = 1',
            r'prices\."openai/x"\.input_usd_per_million_tokens is -1: input should be greater than or equal to 0',
        ),
        ("[limits.openai]\nmax_in_flight = 0", r"limits\.openai\.max_in_flight is 0: input should be greater"),
        ("[limits.openai]\nmax_in_flight = '4'", r"limits\.openai\.max_in_flight is '4': input should be a valid int"),
        ("[limits.opanai]", r'limits\."opanai" names no provider; write one of demo, anthropic, .*openai'),
        ('[limits."https://llm.example/v1"]', r'limits\."https://llm.example/v1": write its origin as https://llm.exa'),
        ('[limits."https://user@llm.example"]', r"the origin must not hold a user"),
        (
            "[prices.gpt-x]\ninput_usd_per_million_tokens = 1\noutput_usd_per_million_tokens = 1",
            r'prices\."gpt-x" names no model; write <provider>/<model>, or <name>@<origin>',
        ),
        (
            '[prices."a/b@http://h"]\ninput_usd_per_million_tokens = 1\noutput_usd_per_million_tokens = 1',
            r"write its origin as http://h:80",
        ),
        ("prices = ", r"it is not TOML: "),
        ("prices_as_of = 'soon'", r"prices_as_of is 'soon'"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_remedy(tmp_path: Path, text: str, sentence: str) -> None:
    path = _written(tmp_path, text)

    with pytest.raises(ConfigurationError, match=sentence) as caught:
        read_models_file(path)

    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml .*cannot be read.*DSPY_SERVICE_MODELS_FILE"):
        read_models_file(tmp_path / "nowhere.toml")
