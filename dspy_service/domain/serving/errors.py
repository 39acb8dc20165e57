"""What can go wrong with programs, runs and conversations; the tree stands in ``domain.errors``."""

from collections.abc import Mapping
from typing import Literal

from dspy_service.domain.errors import ConflictError, NotFoundError, ServiceError
from dspy_service.domain.serving.run import RunError

Limited = Literal["programs", "versions", "conversations", "messages"]

_LIMITS: Mapping[Limited, str] = {
    "programs": "You serve {most} programs, which is the most; delete one by DELETE /programs/{{name}}.",
    "versions": "The program has {most} versions, which is the most; retire one that nobody needs, and delete it by "
    "DELETE /programs/{{name}}/versions/{{version}}.",
    "conversations": "You have {most} conversations, which is the most; delete some by DELETE /conversations/{{id}}.",
    "messages": "The conversation has {most} messages, or would have more, which is the most; begin a new one.",
}


class ProgramNotFoundError(NotFoundError):
    """There is no such program, version or alias, or none that this tenant may see."""

    code = "program_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no program {name[:200]!r}; GET /programs lists yours.")
        self.name = name


class NoDefaultProgramError(NotFoundError):
    """The path names no program, and it is not plain which one is meant."""

    code = "no_default_program"

    def __init__(self, *, has_several: bool) -> None:
        what = (
            "You serve several programs; call one by POST /programs/{name}/predict, or let the operator name one in "
            "DSPY_SERVICE_DEFAULT_PROGRAM."
            if has_several
            else "You serve no program yet; deploy one by POST /programs/{name}/versions."
        )
        super().__init__(what)
        self.has_several = has_several


class RunNotFoundError(NotFoundError):
    """There is no such run, or none that this tenant may see."""

    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"There is no run {run_id[:100]!r}; records are kept for a day after their end.")
        self.run_id = run_id


class RunLogGoneError(NotFoundError):
    """The run is known, but its events are not kept any more."""

    code = "run_log_gone"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"The events of run {run_id[:100]} are gone; they are kept for some minutes after its end.")
        self.run_id = run_id


class RunFailedError(ServiceError):
    """The run that a caller waited for ended without an answer; ``error`` says why."""

    code = "run_failed"

    def __init__(self, run_id: str, error: RunError) -> None:
        super().__init__(f"{error.message} This was run {run_id[:100]}.")
        self.run_id = run_id
        self.error = error


class ConversationNotFoundError(NotFoundError):
    """There is no such conversation or message, or none that this tenant may see."""

    code = "conversation_not_found"

    def __init__(self, conversation_id: str) -> None:
        what = "message" if conversation_id.startswith("msg_") else "conversation"
        super().__init__(f"There is no {what} {conversation_id[:100]!r}.")
        self.conversation_id = conversation_id


class PreconditionFailedError(ServiceError):
    """Somebody changed it since the caller looked."""

    code = "precondition_failed"


class AliasMovedError(PreconditionFailedError):
    """The alias stands elsewhere than the caller thinks."""

    code = "alias_moved"

    def __init__(self, alias: str, revision: int) -> None:
        super().__init__(f"The alias {alias} is at revision {revision} now; read it again and decide anew.")
        self.alias = alias
        self.revision = revision


class ProgramVersionRetiredError(ConflictError):
    """The version takes no new runs."""

    code = "program_version_retired"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"Version {version} of {name} is retired; use another one.")
        self.name = name
        self.version = version


class ProgramVersionInUseError(ConflictError):
    """An alias names the version."""

    code = "program_version_in_use"

    def __init__(self, name: str, version: int, alias: str) -> None:
        super().__init__(f"The alias {alias} of {name} names version {version}; move it first.")
        self.name = name
        self.version = version
        self.alias = alias


class ProgramVersionActiveError(ConflictError):
    """The version takes runs, so that it cannot be deleted."""

    code = "program_version_active"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(f"Version {version} of {name} may still be called; retire it first.")
        self.name = name
        self.version = version


class ProgramInUseError(ConflictError):
    """The program has an alias that somebody made, so that it cannot be deleted."""

    code = "program_in_use"

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(f"The program {name} still has the alias {alias}; delete the alias first.")
        self.name = name
        self.alias = alias


class LimitReachedError(ConflictError):
    """The tenant keeps as many of something as it may."""

    code = "limit_reached"

    def __init__(self, what: Limited, most: int) -> None:
        super().__init__(_LIMITS[what].format(most=most))
        self.what = what
        self.most = most


class NothingToRollBackError(ConflictError):
    """The alias has named one version only."""

    code = "nothing_to_roll_back"

    def __init__(self, alias: str) -> None:
        super().__init__(f"The alias {alias} has never named another version.")
        self.alias = alias


class TurnOvertakenError(ConflictError):
    """Messages that were written later in the conversation have their runs already; this one must stand behind them."""

    code = "turn_overtaken"

    def __init__(self, conversation_id: str) -> None:
        super().__init__(f"Too many messages were sent to conversation {conversation_id} at once; send this one again.")
        self.conversation_id = conversation_id


class ConversationBusyError(ConflictError):
    """The conversation has a run, and the caller wants no second one."""

    code = "conversation_busy"

    def __init__(self, conversation_id: str, active_run_id: str) -> None:
        super().__init__(
            f"Run {active_run_id} still writes in conversation {conversation_id}; wait, cancel it, "
            "or send another `multitask_strategy`."
        )
        self.conversation_id = conversation_id
        self.active_run_id = active_run_id
