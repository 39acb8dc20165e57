"""What can go wrong with collections and searches; the tree stands in ``domain.errors``."""

from collections.abc import Iterable

from dspy_service.domain.errors import ConflictError, NotFoundError, UnsupportedRequestError
from dspy_service.domain.search.vectors import EmbedderIdentity


class CollectionNotFoundError(NotFoundError):
    """There is no such collection, or none that this tenant may see."""

    code = "collection_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no collection {name[:100]!r}.")
        self.name = name


class CollectionExistsError(ConflictError):
    """The name is taken."""

    code = "collection_exists"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a collection {name!r} already; delete it first, or choose another name.")
        self.name = name


class EmbedderChangedError(ConflictError):
    """The vectors of the collection are of another embedder than those that came."""

    code = "embedder_changed"

    def __init__(self, name: str, *, stored: EmbedderIdentity | None, given: EmbedderIdentity | None) -> None:
        super().__init__(
            f"Collection {name!r} holds {_told(stored)}, not {_told(given)}; index it anew with the other embedder, "
            "or search it by words."
        )
        self.name = name
        self.stored = stored
        self.given = given


def _told(embedder: EmbedderIdentity | None) -> str:
    return f"vectors of {embedder.name} ({embedder.dimension} numbers)" if embedder else "no vectors"


class UnknownFilterFieldError(UnsupportedRequestError):
    """No document of the collection has the field."""

    code = "unknown_filter_field"

    def __init__(self, field: str, known: Iterable[str]) -> None:
        self.known = tuple(sorted(known))
        super().__init__(f"No document has the field {field!r}; there are: {', '.join(self.known)}.")
        self.field = field


class EmptyQueryError(UnsupportedRequestError):
    """The query has no word to look for."""

    code = "empty_query"

    def __init__(self) -> None:
        super().__init__("The query has no word, only signs; write at least one letter or digit.")


class BatchIdReusedError(ConflictError):
    """The id of a batch was used for other changes."""

    code = "batch_id_reused"

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"Batch {batch_id[:100]!r} was written with other documents; give this one its own id.")
        self.batch_id = batch_id
