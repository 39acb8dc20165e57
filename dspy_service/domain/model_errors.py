"""The ways in which a language model call can fail, as one vocabulary for broker, runner and records."""

from collections.abc import Mapping
from enum import StrEnum


class ModelErrorKind(StrEnum):
    """Why a call failed.

    The broker maps a provider's failure to one of these, writes it in an ``answer`` frame and in the journal, and the
    runner raises DSPy's own error class for it. Values are DSPy's ``default_code`` where DSPy has one.
    """

    AUTH = "auth"
    BILLING = "billing"
    RATE_LIMIT = "rate_limit"
    TIMEOUT = "timeout"
    SERVER = "server"
    TRANSPORT = "transport"
    CONTEXT_WINDOW = "context_window_exceeded"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_MODEL = "unsupported_model"
    UNSUPPORTED_FEATURE = "unsupported_feature"
    NOT_CONFIGURED = "not_configured"
    CONFIGURATION = "configuration"
    PROVIDER = "provider"
    """The provider refused in a way that has no word of its own."""
    REFUSED = "refused"
    """The broker itself refused: a role, model or option that the job may not use."""
    BUDGET = "budget_exhausted"
    """The job's budget is spent; no further call will be answered."""
    UNEXPECTED = "unexpected"

    @classmethod
    def of(cls, word: object) -> "ModelErrorKind":
        """Return the kind that ``word`` names; a word of a newer peer is ``unexpected``."""
        return next((kind for kind in cls if kind.value == word), cls.UNEXPECTED)

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self in _TRANSIENT

    @property
    def remedy(self) -> str:
        """What the person who submitted the job can do about it; one sentence."""
        return _REMEDIES.get(self, "The logs of the job name the call.")


_TRANSIENT = frozenset(
    {ModelErrorKind.RATE_LIMIT, ModelErrorKind.TIMEOUT, ModelErrorKind.SERVER, ModelErrorKind.TRANSPORT},
)

_REMEDIES: Mapping[ModelErrorKind, str] = {
    ModelErrorKind.AUTH: "The operator's key for this provider is missing or wrong.",
    ModelErrorKind.BILLING: "The provider's account has no credit left.",
    ModelErrorKind.RATE_LIMIT: "The provider limits the rate; submit again later or use fewer threads.",
    ModelErrorKind.TIMEOUT: "The provider did not answer in time; submit again later.",
    ModelErrorKind.SERVER: "The provider failed; submit again later.",
    ModelErrorKind.TRANSPORT: "The provider could not be reached; check the base_url and the network.",
    ModelErrorKind.CONTEXT_WINDOW: "The prompt is longer than the model allows; send shorter rows or fewer demos.",
    ModelErrorKind.INVALID_REQUEST: "The provider refused the request; check the model's options.",
    ModelErrorKind.UNSUPPORTED_MODEL: "The provider has no such model; check its name.",
    ModelErrorKind.UNSUPPORTED_FEATURE: "The model cannot do what the program asks of it.",
    ModelErrorKind.NOT_CONFIGURED: "The operator has set no key for this provider.",
    ModelErrorKind.CONFIGURATION: "The model's options contradict each other; check temperature and max_tokens.",
    ModelErrorKind.BUDGET: "The job's budget is spent; raise it to go further.",
}
