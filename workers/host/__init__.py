"""The confined process that serves one program which only its own code can rebuild.

Frames, see ``dspy_service.domain.frames``; ``run`` and ``id`` are numbers that are never used twice in a process:

==========  ==============  ==========================================================================================
direction   ``t``           fields
==========  ==============  ==========================================================================================
to host     ``program``     ``adapter`` (an AdapterName), ``model`` (ModelSettings without address), ``capabilities``
                            {``function_calling``, ``reasoning``, ``response_schema``, ``params``}, ``max_frame_bytes``
to host     ``blob``        ``data`` (base64 of the next piece of ``program.pkl``), ``last``
to host     ``run``         ``run``, ``inputs``, ``options`` (RunOptions of the model), ``instructions`` or null
to host     ``stop``        ``run``: end it now, and say so
to host     ``text``        ``id``, ``text``: more of the answer to a call that said ``tells``
to host     ``answer``      ``id``; ``response`` (lm15 dict) or ``error`` {``kind``, ``message``, ``model``,
                            ``retry_after_seconds``}
to host     ``ping``        ``number``
from host   ``ready``       ``level``, ``applied`` {…}: confined, and nothing of the program is here yet
from host   ``loaded``      nothing
from host   ``refused``     ``message``: the program cannot be loaded
from host   ``facts``       ``run``, ``facts``: a list of run facts of the types status, token, reasoning, replace,
                            field_done
from host   ``lm``          ``run``, ``id``, ``request`` (lm15 dict), ``rollout_id`` or null, ``candidate``, ``tells``:
                            whether pieces of the answer are wanted
from host   ``done``        ``run``, ``prediction``
from host   ``failed``      ``run``, ``kind`` (``input``, ``lm``, ``adapter_parse``, ``program``, ``stopped``),
                            ``message``; ``field`` with ``input``, ``id`` with ``lm``
from host   ``pong``        ``number``
==========  ==============  ==========================================================================================

A closed socket ends the process at once.
"""
