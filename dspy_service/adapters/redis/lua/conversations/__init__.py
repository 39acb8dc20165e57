"""One atomic script per verb of the conversation store; the ``prelude.lua`` of this folder stands in front of each."""
