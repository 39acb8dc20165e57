"""The programs that are served."""

from typing import Protocol

from dspy_service.domain.serving.program import Alias, NewVersion, Program, ProgramVersion


class ProgramStore(Protocol):
    """Names, versions and aliases; every verb is one atomic step."""

    async def add_version(
        self, new: NewVersion, *, idempotency_key: str | None = None, max_programs: int = 0, max_versions: int = 0
    ) -> tuple[ProgramVersion, bool]:
        """Record a version under the next number, and the program when it is the first.

        The first version also becomes ``production``. A version that has the digest of the newest one is that one,
        unless that one is retired. The idempotency key of a program is good for a day.

        Returns:
            The version, and whether it is new.

        Raises:
            IdempotencyKeyReusedError: the key was used for a version with another digest.
            LimitReachedError: the tenant has ``max_programs`` programs, or this one ``max_versions`` versions; 0: any.
            StoreUnavailableError: also for a moment while equal files are being deleted, see ``leave``.
        """
        ...

    async def program(self, tenant: str, name: str) -> Program:
        """Return a program, or raise ProgramNotFoundError."""
        ...

    async def programs(self, tenant: str, *, after: str | None = None, limit: int = 20) -> tuple[list[Program], bool]:
        """Return programs by name, and whether there are more."""
        ...

    async def version(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Return one version, or raise ProgramNotFoundError."""
        ...

    async def versions(
        self, tenant: str, name: str, *, before: int | None = None, limit: int = 20
    ) -> tuple[list[ProgramVersion], bool]:
        """Return versions, newest first, and whether there are older ones; or raise ProgramNotFoundError."""
        ...

    async def move_alias(
        self, tenant: str, name: str, alias: str, *, version: int, if_revision: int | None = None
    ) -> Alias:
        """Point an alias at an active version, a new alias where there is none; no move when it stands there.

        Args:
            tenant: Whose program.
            name: The program.
            alias: What is moved.
            version: Where to.
            if_revision: The revision that the caller saw; 0: it must not exist yet; None: any.

        Raises:
            ProgramNotFoundError: there is no such version.
            ProgramVersionRetiredError: it is retired.
            AliasMovedError: somebody moved it since.
        """
        ...

    async def roll_back(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> Alias:
        """Point an alias at the version that it named before; errors as ``move_alias``.

        Raises:
            NothingToRollBackError: it has never been moved.
        """
        ...

    async def delete_alias(self, tenant: str, name: str, alias: str, *, if_revision: int | None = None) -> None:
        """Forget an alias, which must not be ``production``; errors as ``move_alias``."""
        ...

    async def retire(self, tenant: str, name: str, version: int) -> ProgramVersion:
        """Let no new run use a version; those that run go on. Idempotent.

        Raises:
            ProgramVersionInUseError: an alias names it.
        """
        ...

    async def delete_version(self, tenant: str, name: str, version: int) -> None:
        """Forget a retired version; its number is never given again. Its files are the caller's to delete.

        Raises:
            ProgramNotFoundError: there is no such version.
            ProgramVersionInUseError: an alias names it.
            ProgramVersionActiveError: it is not retired.
        """
        ...

    async def delete(self, tenant: str, name: str) -> None:
        """Forget a program with all its versions; one of the same name goes on with its numbers for a day.

        Raises:
            ProgramNotFoundError: there is none.
            ProgramInUseError: it has another alias than ``production``.
        """
        ...

    async def leave(self, tenant: str, name: str, digest: str, *, unnamed_seconds: float) -> str | None:
        """Say whether the files of versions with this digest may be deleted now: no version has named them for so long.

        The time counts from the first call that found no version; the first call of all therefore says no, unless
        ``unnamed_seconds`` is 0. Told yes, no version can name them for a minute, or until ``forget_left``.

        Returns:
            What ``forget_left`` takes; None: no.
        """
        ...

    async def forget_left(self, tenant: str, name: str, digest: str, *, told: str) -> None:
        """Say that they are gone; nothing changes when somebody else was told the same meanwhile."""
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
