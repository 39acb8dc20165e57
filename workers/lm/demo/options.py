"""How the demo model behaves as a service: latency, faults, speed and seed, written into its name."""

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Final, cast
from urllib.parse import parse_qsl

MODEL_NAME: Final = "demo/in-context"


class FaultKind(StrEnum):
    """What a simulated fault looks like to the caller."""

    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    TIMEOUT = "timeout"


class DemoModelNameError(ValueError):
    """The name of a demo model cannot be read; the message says which part and what is possible."""

    code = "invalid_demo_model"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!r} is no demo model: {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class DemoOptions:
    """Behaviour that a provider would have.

    Attributes:
        latency_ms: Median time before the first byte.
        latency_sigma: Spread of the lognormal latency; 0 makes every call equally slow.
        fault_rate: Share of attempts that fail, 0 to 1.
        fault_kinds: Kinds of fault, each as likely.
        retry_after_seconds: What a rate limit tells the caller to wait.
        tokens_per_second: Speed of a stream; 0 is as fast as possible.
        seed: Another seed gives other ties, other proposals and other faults.
    """

    latency_ms: float = 0.0
    latency_sigma: float = 0.0
    fault_rate: float = 0.0
    fault_kinds: tuple[FaultKind, ...] = tuple(FaultKind)
    retry_after_seconds: float = 0.05
    tokens_per_second: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("latency_ms", "latency_sigma", "fault_rate", "retry_after_seconds", "tokens_per_second"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a finite number of at least 0, not {value}")
        if self.fault_rate > 1:
            raise ValueError(f"fault_rate must be at most 1, not {self.fault_rate}")
        if not self.fault_kinds:
            raise ValueError("fault_kinds must name at least one kind")


_NAMES: Final = tuple(field.name for field in fields(DemoOptions))


@lru_cache(maxsize=256)
def parse_demo_model(name: str) -> DemoOptions:
    """Read options from a model name such as `demo/in-context?latency_ms=50&fault_rate=0.01&seed=3`.

    Raises:
        DemoModelNameError: Another model, an unknown or doubled option, or a value that cannot be.
    """
    model, _, query = name.partition("?")
    if model != MODEL_NAME:
        raise DemoModelNameError(name, f"the only one is {MODEL_NAME!r}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise DemoModelNameError(name, "write options as ?name=value&name=value") from None
    values: dict[str, object] = {}
    for key, text in pairs:
        if key not in _NAMES or key in values:
            problem = "is given twice" if key in values else f"is unknown; there are {', '.join(_NAMES)}"
            raise DemoModelNameError(name, f"option {key!r} {problem}")
        values[key] = _read(name, key, text)
    try:
        return DemoOptions(**cast("dict[str, float]", values))  # type: ignore[arg-type]  # checked by _read
    except ValueError as error:
        raise DemoModelNameError(name, str(error)) from None


def _read(name: str, key: str, text: str) -> object:
    try:
        if key == "fault_kinds":
            return tuple(FaultKind(kind) for kind in text.split(","))
        return int(text) if key == "seed" else float(text)
    except ValueError:
        wanted = {"fault_kinds": f"a comma-separated list of {', '.join(FaultKind)}", "seed": "a whole number"}
        raise DemoModelNameError(name, f"option {key!r} must be {wanted.get(key, 'a number')}, not {text!r}") from None
