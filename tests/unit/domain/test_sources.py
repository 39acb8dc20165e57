"""Submitted source is read, never run."""

import contextlib
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspy_service.domain.errors import InvalidRequestError, UnsupportedRequestError
from dspy_service.domain.sources import MetricFacts, SignatureFacts, read_sources
from dspy_service.domain.spec import MAX_SOURCE_BYTES

SIGNATURE = """\
class QA(dspy.Signature):
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
"""
METRIC = "def metric(gold, pred, trace=None):\n    return 1.0\n"
KEY = "sk-" + "a" * 30


def signature_of(source: str) -> SignatureFacts:
    return read_sources(source, METRIC, arity=3)[0]


def metric_of(source: str, arity: int = 3) -> MetricFacts:
    return read_sources(SIGNATURE, source, arity=arity)[1]


def test_the_usual_pair_is_understood() -> None:
    signature, metric = read_sources(SIGNATURE, METRIC, arity=3)

    assert signature == SignatureFacts(name="QA", inputs=("question",), outputs=("answer",))
    assert metric == MetricFacts(name="metric", required=2, accepted=3)


@pytest.mark.parametrize(
    "source",
    [
        (
            "from dspy import Signature, InputField, OutputField\n"
            "class S(Signature):\n    a: str = InputField()\n    b: str = OutputField()"
        ),
        (
            "from dspy import Signature as Sig, InputField as In, OutputField as Out\n"
            "class S(Sig):\n    a: str = In()\n    b: str = Out()"
        ),
        "import dspy as d\nclass S(d.Signature):\n    a: str = d.InputField()\n    b: 'list[str]' = d.OutputField()",
        (
            "from dspy.signatures import Signature\n"
            "class S(Signature):\n    a = dspy.InputField(desc='x')\n    b = dspy.OutputField()"
        ),
        (
            "from dspy import *\n"
            "class S(Signature):\n    a: str = InputField()\n    b: str = OutputField()\n    note: str = 'no field'"
        ),
        (
            "try:\n    import x\nexcept ImportError:\n    x = None\nelse:\n    y = 1\nfinally:\n    z = 1\n"
            "if True:\n    class S(dspy.signatures.signature.Signature):\n"
            "        '''doc'''\n        a: str = dspy.InputField()\n        b: str = dspy.OutputField()\n"
        ),
        "class Base(dspy.Signature):\n    a: str = dspy.InputField()\nclass S(Base):\n    b: str = dspy.OutputField()",
        (
            "class A(dspy.Signature):\n    a: str = dspy.InputField()\n"
            "class B(dspy.Signature):\n    b: str = dspy.OutputField()\nclass S(A, B):\n    pass"
        ),
        (
            "from pydantic import BaseModel\nclass Helper(BaseModel):\n    x: int\n"
            "class S(dspy.Signature):\n    a: Helper = dspy.InputField()\n    b: str = dspy.OutputField()"
        ),
        (
            "class S(dspy.Signature):\n    old: str = dspy.InputField()\n"
            "class S(dspy.Signature):\n    a: str = dspy.InputField()\n    b: str = dspy.OutputField()"
        ),
        "class S(dspy.Signature):\n    a: str = dspy.InputField()\nclass S(S):\n    b: str = dspy.OutputField()",
    ],
)
def test_a_signature_is_found_however_it_is_written(source: str) -> None:
    facts = signature_of(source)

    assert (facts.name, set(facts.inputs), set(facts.outputs)) == ("S", {"a"}, {"b"})


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1", "declares no subclass of dspy.Signature"),
        ("class S: pass", "declares no subclass of dspy.Signature"),
        ("class S(Signature): pass", "declares no subclass of dspy.Signature"),
        ("class S(make()): pass", "declares no subclass of dspy.Signature"),
        ("from acme import Signature\nclass S(Signature): pass", "declares no subclass of dspy.Signature"),
        (SIGNATURE + "class QA: pass", "declares no subclass of dspy.Signature"),
        (SIGNATURE + SIGNATURE.replace("QA", "Other"), "declares several signatures (QA, Other)"),
        ("class S(dspy.Signature):\n    b: str = dspy.OutputField()", "S declares no dspy.InputField"),
        ("class S(dspy.Signature):\n    a: str = dspy.InputField()", "S declares no dspy.OutputField"),
    ],
)
def test_anything_but_one_complete_signature_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=re.escape(sentence)) as caught:
        signature_of(source)

    assert caught.value.field == "signature_code"


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("def exact(gold, pred): return 1", MetricFacts(name="exact", required=2, accepted=2)),
        ("def f(*args): return 1", MetricFacts(name="f", required=0, accepted=None)),
        ("def f(a, b, /, c=1, *, d=2, **k): return 1", MetricFacts(name="f", required=2, accepted=3)),
        ("def f(a, b, c): return 1", MetricFacts(name="f", required=3, accepted=3)),
        ("def helper(x): return x\n" + METRIC, MetricFacts(name="metric", required=2, accepted=3)),
        ("def _h(x): return x\ndef f(a, b): return 1", MetricFacts(name="f", required=2, accepted=2)),
        (
            "def f(a, b):\n    def inner():\n        yield 1\n    return sum(inner()) + sum(x for x in [1])",
            MetricFacts(name="f", required=2, accepted=2),
        ),
    ],
)
def test_a_metric_is_found_and_its_arguments_are_counted(source: str, facts: MetricFacts) -> None:
    assert metric_of(source) == facts


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("x = 1", "declares no function"),
        ("def _f(a, b): return 1", "declares no function"),
        ("def f(a, b): return 1\ndef g(a, b): return 1", "declares several functions (f, g)"),
        ("async def f(a, b): return 1", "f is async"),
        ("def f(a, b):\n    if a:\n        yield 1", "f is a generator"),
        ("def f(a, b): yield from a", "f is a generator"),
        ("def f(): return 1", "takes 0 positional arguments"),
        ("def f(a): return 1", "takes 1 positional arguments"),
        ("def f(a, b, c, d): return 1", "requires 4 arguments and gets at most 3"),
        ("def f(a, b, *, c): return 1", "requires the keyword-only argument 'c'"),
    ],
)
def test_a_metric_that_cannot_be_called_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=re.escape(sentence)) as caught:
        metric_of(source)

    assert caught.value.field == "metric_code"


@pytest.mark.parametrize("source", ["def f(a, b, c=1, d=1, e=1): return 1", "def f(a, *rest): return 1"])
def test_gepa_calls_the_metric_with_five_arguments(source: str) -> None:
    assert metric_of(source, arity=5).name == "f"


def test_gepa_refuses_a_metric_that_takes_fewer() -> None:
    with pytest.raises(
        UnsupportedRequestError, match=r"GEPA calls it with \(gold, pred, trace, pred_name, pred_trace\)"
    ):
        metric_of(METRIC, arity=5)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def f(:\n    pass", r"line 1, column 7: "),
        ("x = 1\n  y = 2", r"line 2, column \d+: unexpected indent"),
        ("x = '\udc00'", r"lone surrogate"),
        ("x = 1\0", r"null bytes"),
        ("-" * 60_000 + "1", r"cannot be parsed: it is nested too deeply"),
        ("x" + "[0]" * 20_000, r"cannot be parsed: maximum recursion depth"),
        ("(" * 5_000 + ")" * 5_000, r"nested|parenthes"),
        ("x = " + "1" * 10_000, r"not Python"),
        ("#" * (MAX_SOURCE_BYTES + 1), rf"is {MAX_SOURCE_BYTES + 1} bytes long; at most {MAX_SOURCE_BYTES}"),
        (f'KEY = "{KEY}"', r"line 1 holds what looks like an API key"),
    ],
)
@pytest.mark.parametrize("field", ["signature_code", "metric_code"])
def test_hostile_text_is_refused_with_the_name_of_its_field(source: str, sentence: str, field: str) -> None:
    sources = (source, METRIC) if field == "signature_code" else (SIGNATURE, source)

    with pytest.raises(InvalidRequestError) as caught:
        read_sources(*sources, arity=3)

    [problem] = caught.value.problems
    assert problem.field == field
    assert re.search(sentence, problem.message)


def test_both_sources_are_reported_at_once() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_sources("class", "def", arity=3)

    assert [problem.field for problem in caught.value.problems] == ["signature_code", "metric_code"]


def test_a_comment_may_show_what_a_key_looks_like() -> None:
    assert metric_of(f"# never write {KEY}\n" + METRIC).name == "metric"


def test_odd_literals_do_not_flood_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")

        metric_of(METRIC + "x = '\\d'\n" + "1if 1 else 2\n" * 100)

    assert capfd.readouterr().err == ""


def test_reading_never_runs_the_source() -> None:
    metric_of("raise SystemExit('ran')\n" + METRIC)


def read(signature: str, metric: str) -> None:
    with contextlib.suppress(InvalidRequestError, UnsupportedRequestError):
        read_sources(signature, metric, arity=3)


@given(st.text())
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    read(text, METRIC)
    read(SIGNATURE, text)


@given(st.text(alphabet="def clas()[]:,=*.@ \n\t'\"#ab1\\"))
def test_no_text_that_is_almost_python_does_either(text: str) -> None:
    read(SIGNATURE + text, METRIC + text)


@pytest.mark.parametrize(
    ("inputs", "outputs", "name"),
    [
        (["instructions"], ["a"], "instructions"),
        (["q"], ["signature"], "signature"),
        (["q", "fields"], ["a"], "fields"),
        (["q"], ["model_config"], "model_config"),
        (["_hidden"], ["a"], "_hidden"),
        (["q"], ["__proto__"], "__proto__"),
        (["self"], ["a"], "self"),
        (["q", "demos"], ["a"], "demos"),
        (["lm"], ["a"], "lm"),
        (["config"], ["a"], "config"),
        (["dspy_split"], ["a"], "dspy_split"),
    ],
)
def test_a_field_whose_name_dspy_needs_is_refused(inputs: list[str], outputs: list[str], name: str) -> None:
    with pytest.raises(UnsupportedRequestError, match=f"field '{name}'.*rename it") as caught:
        signature_of(_signature_with(inputs, outputs))

    assert caught.value.field == "signature_code"


@pytest.mark.parametrize("name", ["labels", "self", "demos", "config", "class_", "base", "dspy_split"])
def test_an_output_may_bear_a_name_that_only_an_input_may_not(name: str) -> None:
    assert signature_of(_signature_with(["q"], [name])).outputs == (name,)


def _signature_with(inputs: list[str], outputs: list[str]) -> str:
    fields = [f"    {name}: str = dspy.InputField()\n" for name in inputs]
    fields += [f"    {name}: str = dspy.OutputField()\n" for name in outputs]
    return "class S(dspy.Signature):\n" + "".join(fields)
