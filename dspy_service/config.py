"""The settings of every role: environment variables with one prefix, read once when a process starts."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, NoDecode, SettingsConfigDict

from dspy_service.domain.errors import ConfigurationError
from dspy_service.domain.models_policy import origin_of
from dspy_service.domain.workers import SandboxLevel

PREFIX = "DSPY_SERVICE_"

_BEATS_PER_LEASE = 3  # a lost heartbeat or two must not cost the lease

_MAY_HOLD_SECRETS = frozenset({"redis_url", "artifacts_url"})

_Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What an operator may set. Each field is the variable of its name, with the prefix ``DSPY_SERVICE_``."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix=PREFIX, env_ignore_empty=True, env_file_encoding="utf-8", extra="ignore"
    )

    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    redis_url: str = Field(
        "",
        description="`redis://`, `rediss://` or `unix://` address of a Redis or Valkey; empty: the embedded one.",
    )
    data_dir: Path = Field(Path("data"), description="Folder of the embedded store.")
    artifacts_url: str = Field(
        "artifacts", description="Where datasets and artifacts stand: a folder, or `s3://`, `gs://`, `az://`."
    )
    worker_concurrency: int = Field(2, ge=1, le=256, description="Jobs that one worker runs at a time.")
    lease_seconds: float = Field(15, ge=1, le=3600, description="A worker that is silent for so long loses its job.")
    heartbeat_seconds: float = Field(1, ge=0.05, description="Pause between two heartbeats of a job's worker.")
    sandbox_min_level: SandboxLevel = Field(
        "L1", description="Weakest confinement in which a worker may run submitted code: `L1` or `L2`."
    )
    allowed_base_urls: _Names = Field(
        (), description="Origins (`https://host:port`) that a client may name in `base_url`, separated by commas."
    )
    allowed_models: _Names = Field(
        (), description="Models that a client may name, separated by commas; empty: any whose key is there."
    )
    registry: str = Field(
        "main:configure_registry", description="Function that registers your own modules and optimizers."
    )
    max_body_bytes: int = Field(8 * 1024**2, ge=1024, description="Largest request body; 8 MiB.")
    max_rows: int = Field(20_000, ge=1, description="Most rows in one dataset.")
    eval_threads: int = Field(8, ge=1, le=256, description="Threads of an evaluation, unless the job names a number.")
    standby: bool = Field(True, description="Keep a warmed runner ready for the next job.")
    job_seconds: float = Field(86_400, gt=0, description="Longest run of one job; a day.")
    lm_timeout_seconds: float = Field(120, gt=0, description="Longest wait for one answer of a language model.")
    lm_max_attempts: int = Field(4, ge=1, le=20, description="Tries of one language model call.")
    lm_max_in_flight: int = Field(64, ge=1, le=4096, description="Language model calls that one job has in flight.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="What the processes log.")

    @field_validator("allowed_base_urls", "allowed_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_base_urls")
    @classmethod
    def _as_origins(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin_of(url) for url in urls)

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: str) -> str:
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            message = "it must start with redis://, rediss:// or unix://"
            raise ValueError(message)
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _beat_often_enough(self) -> Self:
        if self.heartbeat_seconds * _BEATS_PER_LEASE > self.lease_seconds:
            message = (
                f"{PREFIX}HEARTBEAT_SECONDS is {self.heartbeat_seconds:g}; "
                f"make it at most a third of {PREFIX}LEASE_SECONDS ({self.lease_seconds:g})"
            )
            raise ValueError(message)
        return self


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the environment and, beneath it, ``env_file`` if there is one.

    Raises:
        ConfigurationError: a variable with our prefix is unknown or its value cannot be used.
    """
    _refuse_unknown(
        {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings, env_file=env_file).env_vars}
    )
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        raise ConfigurationError(" ".join(_sentence(problem) for problem in error.errors())) from error


def settings_table() -> str:
    """Return the rows of a markdown table of all settings: variable, default, meaning."""
    return "\n".join(
        f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )


def _refuse_unknown(variables: Iterable[str]) -> None:
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    for variable in sorted(name.upper() for name in variables):
        if variable.startswith(PREFIX) and variable not in known:
            nearest = difflib.get_close_matches(variable, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}."
            message = f"There is no setting {variable}; {hint}"
            raise ConfigurationError(message)


def _sentence(problem: Any) -> str:  # noqa: ANN401  # pydantic's own description of an error
    reason = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if not problem["loc"]:
        return f"{reason}."
    field = str(problem["loc"][0])
    value = "not usable" if field in _MAY_HOLD_SECRETS else repr(problem["input"])
    return f"{PREFIX}{field.upper()} is {value}: {reason[0].lower()}{reason[1:]}."


def _shown(default: object) -> str:
    text = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
    return f"`{text}`" if text else ""
