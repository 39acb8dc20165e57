"""What is looked for: words, a mode, filters."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dspy_service.domain.schema import Schema
from dspy_service.domain.search.documents import Number

Mode = Literal["lexical", "dense", "hybrid"]
SearchField = Literal["any", "title", "text"]

Scalar = str | bool | Number


class Filter(Schema):
    """A condition on one field; of a document that lacks the field it is never true."""

    field: Annotated[str, Field(min_length=1, max_length=63)]
    any_of: Annotated[list[Scalar], Field(max_length=1000)] | None = None
    """The field is one of these, or, for a list such as ``authors``, has one of them."""
    at_least: Number | str | None = None
    at_most: Number | str | None = None
    """Bounds, inclusive; they hold for values of their own kind only: numbers or texts."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.any_of is None and self.at_least is None and self.at_most is None:
            message = "needs `any_of`, `at_least` or `at_most`"
            raise ValueError(message)
        return self


class FusionWeights(Schema):
    """How much each ranking counts in a hybrid search.

    Words lead unless judgements have shown more: fused as an equal, a weak embedder makes a search worse.
    """

    lexical: Annotated[float, Field(ge=0, le=1)] = 1.0
    dense: Annotated[float, Field(ge=0, le=1)] = 0.5


class SearchQuery(Schema):
    """One search."""

    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    mode: Mode = "lexical"
    field: SearchField = "any"
    """Where words are looked for; vectors are of a whole chunk."""
    filters: Annotated[list[Filter], Field(max_length=32)] = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    weights: FusionWeights = Field(default_factory=FusionWeights)
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Above 0: hits that resemble better ones come later (maximal marginal relevance; needs vectors)."""
