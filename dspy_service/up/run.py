"""`python main.py`: start the platform, say where everything is, and keep it up until it is told to stop."""

import importlib.metadata
import os
import sys
import time
from collections.abc import Mapping

from dspy_service.config import Settings, load_settings
from dspy_service.domain.errors import ServiceError
from dspy_service.up.binding import free_port
from dspy_service.up.commands import SERVING_PROCESSES, is_provider_key
from dspy_service.up.platform import Platform
from dspy_service.up.stopping import stop_signals_interrupt

EXIT_REFUSED = 1


def settings_for(*, host: str | None = None, port: int | None = None, verbose: bool = False) -> Settings:
    """Read the settings, with what the command line says instead; port 0 becomes a free one.

    Raises:
        ConfigurationError: a setting is wrong or unknown.
    """
    settings = load_settings()
    changes: dict[str, object] = {"log_level": "info"} if verbose else {}
    if host is not None:
        changes["host"] = host
    if port is not None:
        changes["port"] = port or free_port(host or settings.host)
    return settings.model_copy(update=changes)


def run(settings: Settings) -> int:
    """Run the platform until Ctrl-C or SIGTERM.

    Returns:
        The exit code: 0 after an orderly stop, 1 when it could not start or could not be kept alive.
    """
    began = time.monotonic()
    with stop_signals_interrupt():
        try:
            with Platform(settings, write=complain) as platform:
                say(banner(settings, platform.health, os.environ, base_url=platform.base_url))
                say(f"Ready after {time.monotonic() - began:.1f} s. Ctrl-C stops everything.")
                try:
                    platform.watch()
                except KeyboardInterrupt:
                    say("\nStopping; this takes some seconds when a job runs, and longer while answers are written.")
                    raise
        except KeyboardInterrupt:
            say("Stopped.")
        except ServiceError as error:
            complain(str(error))
            return EXIT_REFUSED
    return 0


def banner(settings: Settings, health: Mapping[str, object], environ: Mapping[str, str], *, base_url: str) -> str:
    """Say what runs and where."""
    keys = sorted(name for name in environ if is_provider_key(name))
    sandbox = health.get("sandbox")
    level = sandbox.get("level") if isinstance(sandbox, dict) else None
    rows = {
        "API": f"{base_url}   (try it: {base_url}/docs)",
        "Workers": f"{settings.worker_concurrency} job slots, submitted code confined at level {level or 'unknown'}",
        "Serving": f"{SERVING_PROCESSES * settings.serving_concurrency} runs of deployed programs at a time",
        "Store": "as DSPY_SERVICE_REDIS_URL says" if settings.redis_url else f"embedded Valkey in {settings.data_dir}",
        "Artifacts": settings.artifacts_url,
        "Models": "demo/in-context (needs no key)"
        + (f"; keys found: {', '.join(keys)}" if keys else "; no provider key"),
    }
    return "\n".join(
        [
            f"DSPy as a Service {importlib.metadata.version('dspy-service')}",
            *(f"  {name:<10} {fact}" for name, fact in rows.items()),
        ]
    )


def say(line: str) -> None:
    """Print to standard output at once."""
    print(line, flush=True)  # noqa: T201 - the console is this program's surface


def complain(line: str) -> None:
    """Print to standard error at once."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the console is this program's surface
