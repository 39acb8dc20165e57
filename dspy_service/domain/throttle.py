"""How the calls of many jobs share what one provider allows.

A *provider* here is one account at one provider, or one endpoint: whatever counts its callers together. Workers ask for
calls in batches, and are granted some of them now; the others wait in the caller's own line and are asked for again.
"""

from typing import Annotated, Final

from pydantic import Field

from dspy_service.domain.schema import Schema

GRANT_SECONDS: Final = 15.0
"""How long granted calls count as being made without a word from whoever makes them; a dead worker's are free then."""

PRESSURE_SECONDS: Final = 300.0
"""How long after the end of a provider's refusals every call to it still asks first."""

MAX_QUIET_SECONDS: Final = 60.0
"""Longest silence after one refusal, whatever the provider asks for: a probe a minute costs it nothing, and what it
asked for may be a mistake, or over before its time."""

PROBE_SECONDS: Final = 1.0
"""How long the first call after a silence goes alone: a refusal comes faster than an answer, nearly always at once."""

RAMP_SECONDS: Final = 10.0
"""From half of the pace before the refusals back to all of it, once a probe was not refused."""


class ProviderLimits(Schema):
    """What a provider allows one account; None: nothing is said."""

    requests_per_minute: Annotated[int | None, Field(ge=1)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1)] = None
    """Prompt and completion tokens together."""
    max_in_flight: Annotated[int | None, Field(ge=1)] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is limited."""
        return self.requests_per_minute is None and self.tokens_per_minute is None and self.max_in_flight is None


class CallWish(Schema):
    """Calls that somebody wants to make now."""

    tenant: str
    job_id: str
    calls: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=0)]
    """About how many all of them will take, prompt and answer; 0 is fine where tokens are not limited."""
    grant: Annotated[str, Field(min_length=1)]
    """A new name for what may be granted; the same wish sent again is not granted twice."""


class CallGrant(Schema):
    """What may be done of a wish."""

    calls: Annotated[int, Field(ge=0)]
    """How many may be made now; 0: none."""
    is_counted: bool = False
    """Whether the store wants to hear when they have ended (see GrantUse)."""
    wait_seconds: Annotated[float, Field(ge=0)] = 0.0
    """When to ask again for the rest."""
    silence_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long the provider is left alone yet, since it refused calls; 0: it is not."""
    refusals: Annotated[int, Field(ge=0)] = 0
    """Its refusals in a row so far; those of calls that were under way together are one."""


class ProviderWait(Schema):
    """A job that stands still since a provider refuses its calls."""

    provider: str
    """As the job's owner knows it: the prefix of the model's name, or the origin of a ``base_url``."""
    seconds: Annotated[float, Field(ge=0)]
    """So far."""
    silence_seconds: Annotated[float, Field(ge=0)]
    """Until the provider is tried again."""
    refusals: Annotated[int, Field(ge=0)]


class GrantUse(Schema):
    """What became of a grant. Said again it changes nothing, and it keeps the calls that are left counted."""

    grant: str
    left: Annotated[int, Field(ge=0)]
    """Calls of it that are still being made; 0: it is over."""
    tokens: Annotated[int, Field(ge=0)] = 0
    """What those that ended since the last word really took, all together."""
