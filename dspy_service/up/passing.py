"""A platform that lives for one purpose, on a free port and an empty store, and leaves nothing running."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dspy_service.config import load_settings
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
    with stop_signals_interrupt(), tempfile.TemporaryDirectory(prefix="dspy-service-") as folder:
        changes = {
            "host": "127.0.0.1",
            "port": free_port("127.0.0.1"),
            "redis_url": "",
            "data_dir": Path(folder),
        }
        passing = settings.model_copy(update=changes)
        with Platform(passing, write=complain) as platform:
            yield platform.base_url
