"""Reads progress bars instead of drawing them.

The methods of the class ``tqdm.std.tqdm`` are replaced, which reaches every ``from tqdm import tqdm``, DSPy's and
GEPA's alike, whenever it was bound.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tqdm.std

MIN_GAP_SECONDS = 0.25  # at most four events a second, and the last state of each bar
LEADING_UNIT = "rollouts"
"""GEPA's own bar counts rollouts of the whole run; while it lives, bars of single evaluations are not reported."""

Report = Callable[[dict[str, Any]], None]


class _Silence:
    """A stream that keeps nothing; a bar writes here what it would have drawn."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


class BarReader:
    """Reports the state of live bars through ``report``."""

    def __init__(self, report: Report, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._last = -MIN_GAP_SECONDS
        self._leader: weakref.ref[Any] | None = None

    def opened(self, bar: Any) -> None:  # noqa: ANN401  # tqdm is untyped
        """Note a new bar."""
        if not bar.disable and getattr(bar, "unit", None) == LEADING_UNIT:
            self._leader = weakref.ref(bar)

    def forget(self) -> None:
        """Let no bar lead; one of a compile that was stopped would never be closed."""
        self._leader = None

    def moved(self, bar: Any) -> None:  # noqa: ANN401  # tqdm is untyped
        """Report the bar unless another one leads, or the last report is too young and the bar is not full."""
        leader = self._leader() if self._leader is not None else None
        if bar.disable or (leader is not None and leader is not bar and not leader.disable):
            return
        now = self._clock()
        with self._lock:
            if now - self._last < MIN_GAP_SECONDS and bar.n != bar.total:
                return
            self._last = now
        self._report(bar_metrics(bar))


def bar_metrics(bar: Any) -> dict[str, Any]:  # noqa: ANN401  # tqdm is untyped
    """Return the contract's ``tqdm_*`` fields; None where the bar has no total or no pace yet."""
    state = bar.format_dict
    done, total, elapsed = state["n"], state["total"], state["elapsed"]
    remaining = elapsed * (total - done) / done if total and done else None
    return {
        "tqdm_n": done,
        "tqdm_total": total,
        "tqdm_percent": round(100 * done / total, 2) if total else None,
        "tqdm_elapsed": round(elapsed, 3),
        "tqdm_remaining": None if remaining is None else round(max(0.0, remaining), 3),
        "tqdm_desc": (state["prefix"] or "").rstrip(": ") or None,
    }


@contextlib.contextmanager
def reading(reader: BarReader) -> Iterator[None]:
    """Let ``reader`` see every bar of this process while the block runs; nothing is drawn."""
    bar_class = tqdm.std.tqdm
    original = {name: bar_class.__dict__[name] for name in ("__init__", "update", "display")}
    init, update = original["__init__"], original["update"]

    def silent_init(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # tqdm's own signature
        kwargs["file"] = _Silence()
        init.__get__(self, bar_class)(*args, **kwargs)  # a partialmethod, so no plain function
        reader.opened(self)

    def read_update(self: Any, n: float | None = 1) -> Any:  # noqa: ANN401  # tqdm's own signature
        result = update(self, n)
        reader.moved(self)
        return result

    def draw_nothing(*_args: object, **_options: object) -> bool:
        return True

    tqdm.std.tqdm.set_lock(threading.RLock())  # tqdm's own default asks for a semaphore file
    monitor_interval = bar_class.monitor_interval
    bar_class.monitor_interval = 0  # no monitor thread
    bar_class.__init__, bar_class.update, bar_class.display = silent_init, read_update, draw_nothing
    try:
        yield
    finally:
        bar_class.monitor_interval = monitor_interval
        for name, method in original.items():
            setattr(bar_class, name, method)
