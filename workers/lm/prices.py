"""What a call costs: by the operator's own prices first, then by the list that comes with DSPy; never fetched."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Final

from dspy.clients.costs import estimate_cost
from dspy.clients.model_metadata import model_info, rate, source_info
from dspy.lm15 import Request, Response

from dspy_service.domain.origins import origin_of
from dspy_service.domain.spec import ModelSettings
from workers.lm.models_file import ModelPrice, ModelsFile

Price = Callable[[Request, Response], float | None]
"""What a call cost in USD; None when that is not known."""

_MILLION: Final = 1_000_000
_REASONING_APART: Final = frozenset({"gemini", "vertex", "vertex-express", "xai"})
"""Providers that do not count reasoning among the output tokens, and bill it like them; as in DSPy's own estimate."""


@dataclass(frozen=True)
class Pricing:
    """How the calls of one model are priced."""

    price: Price
    is_known: bool
    """Whether a call's price can be told at all; said before any call is made."""
    as_of: str | None
    """Which list says so; None when no list was needed."""


def pricing(settings: ModelSettings, *, provider: str, models: ModelsFile) -> Pricing:
    """Return how a model of ``provider`` (lm15's name) is priced.

    A model behind a ``base_url`` has only the price that the operator wrote for it there: its name is the client's.
    """
    where = f"@{origin_of(settings.base_url)}" if settings.base_url else ""
    own = models.prices.get(settings.name + where)
    if own is not None:
        as_of = "models file" if models.prices_as_of is None else f"models file of {models.prices_as_of}"
        return Pricing(_by_operator(own, reasoning_apart=provider in _REASONING_APART), is_known=True, as_of=as_of)
    if settings.base_url:
        return Pricing(lambda _request, _response: None, is_known=False, as_of=None)
    model = settings.name.partition("/")[2]
    is_known = _is_listed(provider, model)
    return Pricing(_by_bundled_list(provider), is_known=is_known, as_of=bundled_as_of() if is_known else None)


@lru_cache(maxsize=1)
def bundled_as_of() -> str:
    """Return the version of the bundled list; it carries no date of its own."""
    source = source_info()
    listed = source["snapshot_version"] if source["source"] == "local" else "fetched by DSPy"
    return f"LiteLLM {listed} (DSPy {version('dspy')})"


def _by_operator(own: ModelPrice, *, reasoning_apart: bool) -> Price:
    def price(_request: Request, response: Response) -> float | None:
        used = response.usage
        if used.input_tokens is None or used.output_tokens is None:
            return None
        written = used.output_tokens + ((used.reasoning_tokens or 0) if reasoning_apart else 0)
        usd = used.input_tokens * own.input_usd_per_million_tokens + written * own.output_usd_per_million_tokens
        return float(usd / _MILLION)

    return price


def _by_bundled_list(provider: str) -> Price:
    def price(request: Request, response: Response) -> float | None:
        if not _is_listed(provider, response.model) and not _is_listed(provider, request.model):
            return None  # as DSPy's estimate would say after a search that takes a millisecond
        cost, _ = estimate_cost(response, provider=provider, requested_model=request.model, request=request)
        return None if cost is None else float(cost)

    return price


@lru_cache(maxsize=1024)
def _is_listed(provider: str, model: str) -> bool:
    listed = model_info(provider, model)
    return all(rate(listed, f"{kind}_cost_per_token") is not None for kind in ("input", "output"))
