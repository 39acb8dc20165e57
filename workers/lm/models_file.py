"""The operator's own prices and limits of models: one TOML file, read once at a worker's start.

::

    prices_as_of = 2026-01-31                        # optional; shown with every cost

    [prices."openai/gpt-x"]                          # as clients write the model's name
    input_usd_per_million_tokens = 2.5
    output_usd_per_million_tokens = 10

    [prices."qwen/qwen3@https://llm.example:8000"]   # the same behind a base_url: name@origin
    input_usd_per_million_tokens = 0
    output_usd_per_million_tokens = 0

    [limits."openai"]                                # prefix of the model's name, or an origin, or demo
    requests_per_minute = 500
    tokens_per_minute = 200_000
    max_in_flight = 50
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

from dspy._vendor.lm15.router import LITELLM_PROVIDER_PREFIXES  # not re-exported by dspy.lm15
from pydantic import Field, ValidationError

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.origins import origin_of
from dspy_service.domain.schema import Schema
from dspy_service.domain.throttle import ProviderLimits

_PREFIXES: Final = ("demo", *sorted(LITELLM_PROVIDER_PREFIXES))


class ModelPrice(Schema):
    """What the tokens of one model cost; discounts for cached prompts are not known here."""

    input_usd_per_million_tokens: Annotated[float, Field(ge=0)]
    output_usd_per_million_tokens: Annotated[float, Field(ge=0)]


class ModelsFile(Schema):
    """What the file says; an absent file says nothing."""

    prices_as_of: date | None = None
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    limits: dict[str, ProviderLimits] = Field(default_factory=dict)


def read_models_file(path: Path | None) -> ModelsFile:
    """Return what the file at ``path`` says; None: there is none.

    Raises:
        ConfigurationError: it cannot be read, or says something that has no meaning; the sentence names file, key and
            what to write instead.
    """
    if path is None:
        return ModelsFile()
    try:
        with path.open("rb") as file:
            said = tomllib.load(file)
    except OSError as error:
        raise _wrong(path, f"it cannot be read ({error.strerror}); correct DSPY_SERVICE_MODELS_FILE") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"it is not TOML: {error}") from error
    try:
        models = ModelsFile.model_validate(said)
    except ValidationError as error:
        raise _wrong(path, " ".join(_sentence(problem) for problem in error.errors())) from error
    problems = [*_price_problems(models.prices), *_limit_problems(models.limits)]
    if problems:
        raise _wrong(path, " ".join(problems))
    return models


def _wrong(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"The models file {path} cannot be used: {reason.rstrip('.')}.")


def _sentence(problem: Mapping[str, Any]) -> str:
    key = ".".join(f'"{part}"' if "/" in str(part) else str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{key} has no meaning; write one of {', '.join(_known(len(problem['loc']), problem['loc'][0]))}."
    if problem["type"] == "missing":
        return f"{key} is missing."
    reason = problem["msg"].rstrip(".")
    return f"{key} is {problem['input']!r}: {reason[0].lower()}{reason[1:]}."


def _known(depth: int, section: object) -> Iterable[str]:
    if depth == 1:
        return ModelsFile.model_fields
    return ModelPrice.model_fields if section == "prices" else ProviderLimits.model_fields


def _price_problems(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        model, at, origin = name.rpartition("@")
        if "/" not in (model if at and "://" in origin else name):
            yield f'prices."{name}" names no model; write <provider>/<model>, or <name>@<origin> behind a base_url.'
        elif "://" in origin:
            yield from _origin_problems(f'prices."{name}"', origin)


def _limit_problems(names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if "://" in name:
            yield from _origin_problems(f'limits."{name}"', name)
        elif name not in _PREFIXES:
            yield f'limits."{name}" names no provider; write one of {", ".join(_PREFIXES)}, or https://host:port.'


def _origin_problems(key: str, origin: str) -> Iterable[str]:
    try:
        spelt = origin_of(origin)
    except ValueError as error:
        yield f"{key}: the origin {error}."
    else:
        if spelt != origin:
            yield f"{key}: write its origin as {spelt}."
