"""What every program store remembers beside its records, and for how long."""

from typing import Final

IDEMPOTENCY_SECONDS: Final = 24 * 3600
NUMBERS_SECONDS: Final = 24 * 3600
"""A program that is made again so soon after its deletion goes on with its numbers: records of runs name them."""
DELETE_SECONDS: Final = 60
"""That the deletion of a version's files may take; no version may name them meanwhile."""
NOTE_SECONDS: Final = 30 * 24 * 3600
"""That it is noted since when no version names some files; they are looked at each day."""

FILES_LEAVE: Final = "equal files are just being deleted"
"""Why a version cannot be recorded for a moment."""
