"""Options of the demo model are read from its name, and errors say what is possible."""

import pytest

from workers.lm.demo.options import DemoModelNameError, DemoOptions, FaultKind, parse_demo_model


def test_a_bare_name_has_the_defaults() -> None:
    assert parse_demo_model("demo/in-context") == DemoOptions()


def test_every_option_is_read() -> None:
    name = (
        "demo/in-context?latency_ms=50&latency_sigma=0.3&fault_rate=0.01&fault_kinds=timeout,server"
        "&retry_after_seconds=2&tokens_per_second=40&seed=3"
    )

    options = parse_demo_model(name)

    assert options == DemoOptions(
        latency_ms=50,
        latency_sigma=0.3,
        fault_rate=0.01,
        fault_kinds=(FaultKind.TIMEOUT, FaultKind.SERVER),
        retry_after_seconds=2,
        tokens_per_second=40,
        seed=3,
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo/other", "demo/in-context"),
        ("demo/in-context?latency=5", "'latency' is unknown; there are latency_ms"),
        ("demo/in-context?seed=1&seed=2", "given twice"),
        ("demo/in-context?seed=1.5", "whole number"),
        ("demo/in-context?latency_ms=fast", "must be a number"),
        ("demo/in-context?latency_ms=-1", "at least 0"),
        ("demo/in-context?latency_ms=nan", "finite"),
        ("demo/in-context?fault_rate=2", "at most 1"),
        ("demo/in-context?fault_kinds=flood", "rate_limit, server, timeout"),
        ("demo/in-context?latency_ms", "name=value"),
    ],
)
def test_a_wrong_name_says_what_is_wrong(name: str, said: str) -> None:
    with pytest.raises(DemoModelNameError, match=said) as raised:
        parse_demo_model(name)

    assert raised.value.name == name


def test_no_kind_of_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one kind"):
        DemoOptions(fault_kinds=())
