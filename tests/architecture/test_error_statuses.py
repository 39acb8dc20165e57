"""Every error of the tree has been given an HTTP status, and a code of its own."""

from collections.abc import Iterator

from dspy_service.api.errors import STATUSES
from dspy_service.domain.errors import ServiceError


def tree(root: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def ours() -> set[type[ServiceError]]:
    """Return the classes of the service itself; tests and workers may derive their own."""
    return {each for each in tree(ServiceError) if each.__module__.startswith("dspy_service.")}


def test_every_error_has_a_status() -> None:
    assert set(STATUSES) == ours()


def test_every_error_has_its_own_code() -> None:
    codes = [each.code for each in ours()]

    assert len(codes) == len(set(codes))
