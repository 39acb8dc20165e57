"""A platform that lives for one purpose, on a free port and an empty store, and leaves nothing running."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspy_service.config import Settings, load_settings
from dspy_service.domain.workers import SandboxLevel
from dspy_service.up.binding import free_port
from dspy_service.up.platform import Platform
from dspy_service.up.run import complain
from dspy_service.up.stopping import stop_signals_interrupt


@contextmanager
def passing_platform() -> Iterator[str]:
    """Run a platform around the body and yield its base URL; artifacts are kept, the store's data is not.

    Raises:
        ConfigurationError: it cannot start.
    """
    settings = load_settings()
    if sample_level(settings, sys.platform) != settings.sandbox_min_level:
        complain("This system offers sandbox level L1 only, which is enough for the sample job: its code is ours.")
    with stop_signals_interrupt(), tempfile.TemporaryDirectory(prefix="dspy-service-") as folder:
        changes = {
            "host": "127.0.0.1",
            "port": free_port("127.0.0.1"),
            "redis_url": "",
            "data_dir": Path(folder),
            "sandbox_min_level": sample_level(settings, sys.platform),
        }
        passing = settings.model_copy(update=changes)
        with Platform(passing, write=complain) as platform:
            yield platform.base_url


def sample_level(settings: Settings, system: str) -> SandboxLevel:
    """Return the weakest confinement in which the sample job may run: where only L1 exists, that, unless it was set."""
    is_chosen = "sandbox_min_level" in settings.model_fields_set
    return settings.sandbox_min_level if is_chosen or system == "linux" else "L1"
