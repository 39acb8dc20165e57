"""How submitted source becomes a signature and a metric."""

import inspect
import sys
from collections.abc import Iterator

import dspy
import pytest

from workers.runner import sources
from workers.runner.failures import JobFailed

SIGNATURE = (
    'class S(dspy.Signature):\n    """Do it."""\n    a: str = dspy.InputField()\n    b: {} = dspy.OutputField()\n'
)
METRIC = "def metric(gold, pred, trace=None):\n    return 1.0\n"


@pytest.fixture(autouse=True)
def _no_traces_left() -> Iterator[None]:
    yield
    sources.forget()


@pytest.mark.parametrize("annotation", ["str", "Literal['x', 'y']", "Optional[List[int]]", "dict[str, Any]", "float"])
@pytest.mark.parametrize("header", ["", "from __future__ import annotations\n"])
def test_typing_names_need_no_import(annotation: str, header: str) -> None:
    submitted = sources.load(header + SIGNATURE.format(annotation), METRIC, metric_arity=3)

    plain: dict[str, object] = {}
    exec("from typing import *\nfrom typing import Literal", plain)  # noqa: S102  # what the loader promises
    assert submitted.signature.output_fields["b"].annotation == eval(annotation, plain)  # noqa: S307  # a type


def test_types_of_the_source_itself_resolve() -> None:
    code = "from __future__ import annotations\nimport pydantic\n\nclass D(pydantic.BaseModel):\n    n: int\n\n"

    submitted = sources.load(code + SIGNATURE.format("list[D]"), METRIC, metric_arity=3)

    assert "D" in str(submitted.signature.output_fields["b"].annotation)


def test_the_last_of_a_chain_of_signatures_is_taken() -> None:
    code = SIGNATURE.format("str") + "\nclass T(S):\n    c: int = dspy.OutputField()\n"

    submitted = sources.load(code, METRIC, metric_arity=3)

    assert list(submitted.signature.output_fields) == ["b", "c"]


def test_a_function_named_metric_is_taken_before_others() -> None:
    code = "def helper(x):\n    return x\n\n" + METRIC + "\ndef later(x):\n    return x\n"

    submitted = sources.load(SIGNATURE.format("str"), code, metric_arity=3)

    assert submitted.metric.__name__ == "metric"


def test_a_private_helper_is_no_metric() -> None:
    code = "def score(gold, pred, trace=None):\n    return _h()\n\ndef _h():\n    return 1.0\n"

    submitted = sources.load(SIGNATURE.format("str"), code, metric_arity=3)

    assert submitted.metric(None, None) == 1.0


def test_the_source_of_submitted_code_can_be_read() -> None:
    submitted = sources.load(SIGNATURE.format("str"), METRIC, metric_arity=3)

    assert inspect.getsource(submitted.signature).startswith("class S")
    assert inspect.getsource(submitted.metric) == METRIC


def test_the_class_belongs_to_a_module_that_exists() -> None:
    submitted = sources.load(SIGNATURE.format("str"), METRIC, metric_arity=3)

    assert sys.modules[submitted.signature.__module__].S is submitted.signature


@pytest.mark.parametrize(
    ("signature_code", "metric_code", "kind", "words"),
    [
        ("x = 1\n", METRIC, "signature_error", "no subclass of dspy.Signature"),
        (SIGNATURE.format("str"), "x = 1\n", "metric_error", "no function"),
        (SIGNATURE.format("str") + "1 / 0\n", METRIC, "signature_error", "ZeroDivisionError: division by zero"),
        (SIGNATURE.format("str"), METRIC + "raise SystemExit\n", "metric_error", "SystemExit"),
        (SIGNATURE.format("NoSuchType"), METRIC, "signature_error", "NoSuchType"),
        (SIGNATURE.format("str") + "S = 3\n", METRIC, "signature_error", "something else than a dspy.Signature"),
        (SIGNATURE.format("str"), METRIC + "metric = 3\n", "metric_error", "cannot be called"),
        ("class S(:\n", METRIC, "signature_error", "line 1"),
    ],
)
def test_a_source_that_does_not_define_what_it_must_is_named(
    signature_code: str,
    metric_code: str,
    kind: str,
    words: str,
) -> None:
    with pytest.raises(JobFailed) as caught:
        sources.load(signature_code, metric_code, metric_arity=3)

    assert caught.value.failure.kind == kind
    assert words in caught.value.failure.message


def test_the_traceback_shows_the_line_and_no_path_of_ours() -> None:
    with pytest.raises(JobFailed) as caught:
        sources.load(SIGNATURE.format("str"), METRIC + "\ndspy.no_such_thing\n", metric_arity=3)

    trace = caught.value.failure.traceback or ""
    assert 'File "<metric_code>", line 4, in <module>\n    dspy.no_such_thing' in trace
    assert "runner" not in trace


def test_loading_again_forgets_the_source_before() -> None:
    sources.load(SIGNATURE.format("str"), METRIC, metric_arity=3)

    submitted = sources.load(SIGNATURE.format("int").replace("S(", "Other("), METRIC, metric_arity=3)

    assert issubclass(submitted.signature, dspy.Signature)
    assert not hasattr(sys.modules[sources.SIGNATURE_MODULE], "S")
