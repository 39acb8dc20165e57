"""One atomic Redis script per verb of a store; the ``prelude.lua`` of its folder stands in front of each."""

from importlib.resources import files


def script_source(verb: str) -> str:
    """Return the text of one script, prelude first; ``runs/claim`` is ``claim.lua`` in the folder ``runs``."""
    folder, _, name = verb.rpartition("/")
    place = files(__name__) / folder if folder else files(__name__)
    return "\n".join((place / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
