"""Where things stand in Redis: every key in one place.

==========================================  ===================================================================
key (one hash tag)                          holds
==========================================  ===================================================================
``{dspy}:job:<id>``                         hash: the record, see ``redis.records``
``{dspy}:job:<id>:spec``                    JSON of the spec, until the ended job is settled
``{dspy}:job:<id>:events``                  stream: entry ``<seq>-0`` is event ``seq``, until likewise
``{dspy}:job:<id>:journal``                 list: the newest answers of models; the record's ``jbase`` is the
                                            number of the first
``{dspy}:jobs:<tenant>``                    zset of ids, all of score 0, so in the order of their UUIDv7
``{dspy}:jobs:<tenant>:status:<status>``    likewise, those in one state
``{dspy}:jobs:<tenant>:optimizer:<name>``   likewise, those with one optimizer of the catalogue
``{dspy}:waiting``                          set of tenants that have pending jobs
``{dspy}:waiting:<tenant>``                 zset of pending jobs: (9 - priority) * 10^13 + milliseconds of
                                            ``queued_at`` (of the record's ``place`` once a worker
                                            has given it back), so the next one first
``{dspy}:queued``                           zset of the pending jobs of all tenants, by ``queued_at``; for figures
``{dspy}:running:<tenant>``                 set of jobs that workers hold
``{dspy}:served``                           zset of tenants, by the time of their last claim; those of the last day
``{dspy}:outbox``                           zset: jobs to ring for, by the time of the next ring
``{dspy}:leases``                           zset: jobs that workers hold, by the time their lease ends
``{dspy}:unsettled``                        zset: ended jobs still to be settled, by the time of their end
``{dspy}:ended``                            zset: settled jobs, by the time of their end
``{dspy}:deliveries``                       zset: ended jobs whose webhook is to be called, by the time of the next try
``{dspy}:datasets``                         hash: path of a dataset to the number of jobs that name it
``{dspy}:orphans``                          zset: paths of datasets that no job names, by the time since when
``{dspy}:leaving:<path>``                   there for a minute while an orphan is deleted: ``unwanted``, or ``wanted``
                                            when it was stored again meanwhile
``{dspy}:idem:<tenant>:<key>``              ``<job id> <body hash>``, for a day
``{dspy}:submitted``                        counter of jobs that began to wait or may run now, and the channel
                                            that tells it
``{dspy}:events``                           channel: id of a job that has new events
``{dspy}:workers``                          hash: worker id to ``<expiry> <JSON>``
``{dspy}:pin:<name>``                       a value that the first to write it decided
``{dspy}:run:<id>``                         hash: the record of a run, see ``redis.run_entries``; for a day from its end
``{dspy}:run:<id>:log``                     stream: entry ``<seq>-0`` is event ``seq``; for some minutes likewise
``{dspy}:run:<id>:short``                   list of JSON: what stands for 256 events each, of which the texts are one;
                                            of those that were trimmed from a long log, and of all of a run that may
                                            be asked for again, then as long as the record
``{dspy}:runs:waiting``                     set of tenants that have runs to take
``{dspy}:runs:waiting:<tenant>``            zset of runs to take, by ``created_at``
``{dspy}:runs:working:<tenant>``            set of runs that workers hold
``{dspy}:runs:live:<tenant>``               set of runs that have not ended
``{dspy}:runs:served``                      zset of tenants, by the time of their last claim; those of the last day
``{dspy}:runs:leases``                      zset: runs that workers hold, by the time their lease ends
``{dspy}:runs:unread``                      zset: runs that end without a reader, by the time when they do
``{dspy}:runs:untold``                      list of runs that ended without a worker, for whoever reaps next
``{dspy}:runs:talk:<tenant>:<id>``          list of the live runs of a conversation, oldest first
``{dspy}:runs:talk:<tenant>:<id>:place``    place of the messages of the conversation's newest run, for a day
``{dspy}:runs:idem:<tenant>:<key>``         ``<run id> <body hash>``, for a day
``{dspy}:runs:usage:<tenant>:<day>``        hash: ``<program>:<version>:<key id>:<figure>`` to a whole number, of the
                                            runs that ended on the UTC day of this number since 1970
``{dspy}:runs:totals``                      hash: ``<figure>`` to a whole number, of all runs that ever ended
``{dspy}:runs:submitted``                   counter of runs that can be taken or are asked to end, and the channel
                                            that tells it
``{dspy}:run_events``                       channel: id of a run that has new events
``{dspy}:programs:<tenant>``                zset of the names of served programs, all of score 0
``{dspy}:program:<tenant>:<name>``          hash: ``created``, ``latest`` (its newest version), ``made`` (number of the
                                            last that was added), ``moves`` (of its aliases), each ``alias:<name>`` as
                                            ``<version> <previous or 0> <revision> <micros> <call>``
``{dspy}:program:<tenant>:<name>:v:<n>``    hash: a version's ``fixed`` (JSON, immutable), ``digest``, ``status``,
                                            ``created`` and the ``call`` that added it
``{dspy}:program:<tenant>:<name>:numbers``  zset of the numbers of its versions, by themselves
``{dspy}:program:<tenant>:<name>:v:<n>:gone``
                                            random text of the call that deleted a version, for a minute
``{dspy}:program:<tenant>:<name>:alias:<a>:gone``
                                            likewise of the call that deleted an alias
``{dspy}:program:<tenant>:<name>:gone``     ``<made> <moves> <call>`` of one that was deleted, for a day
``{dspy}:program:<tenant>:<name>:left:<d>`` since when no version names files with this digest; ``leaving <call>`` for a
                                            minute while they are deleted
``{dspy}:program:<tenant>:<name>:idem:<k>`` ``<version> <digest>``, for a day
``{dspy}:conversations``                    set of tenants that have conversations
``{dspy}:conversations:<tenant>``           zset of conversations, by the time of their last change
``{dspy}:conversations:<tenant>:of:<owner>`` likewise, those of one owner
``{dspy}:conversations:<tenant>:rated``     zset of ``<conversation> <message>`` that somebody rated, all of score 0
``{dspy}:conversation:<id>``                hash: ``tenant``, ``owner``, ``program``, ``title``, ``metadata`` (JSON),
                                            ``created``, ``updated``, ``count`` (of messages), ``tokens``, ``head``
``{dspy}:conversation:<id>:order``          list of its messages, as they came
``{dspy}:conversation:<id>:writing``        list of the runs that still write in it, oldest first
``{dspy}:conversation:<id>:m:<message>``    hash: a message's ``fixed`` (JSON), ``said`` (JSON), ``status``, ``parent``,
                                            ``run``, ``tokens`` and ``feedback`` (JSON)
``{dspy}:conversation:<id>:gone``           random text of the call that deleted it, and the runs that wrote in it, for
                                            a minute
==========================================  ===================================================================

Times are microseconds since 1970. The scripts know the same names, in ``lua/prelude.lua``.
"""

from datetime import date

JOB = "{dspy}:job:"
OUTBOX = "{dspy}:outbox"
LEASES = "{dspy}:leases"
WAITING = "{dspy}:waiting"
QUEUED = "{dspy}:queued"
SETTLED = "{dspy}:ended"
DELIVERIES = "{dspy}:deliveries"
SUBMITTED = "{dspy}:submitted"
UNSETTLED = "{dspy}:unsettled"
ORPHANS = "{dspy}:orphans"
EVENTS = "{dspy}:events"
WORKERS = "{dspy}:workers"
PIN = "{dspy}:pin:"
RUN = "{dspy}:run:"
RUNS_WAITING = "{dspy}:runs:waiting"
RUN_LEASES = "{dspy}:runs:leases"
RUNS_UNREAD = "{dspy}:runs:unread"
RUN_TOTALS = "{dspy}:runs:totals"
RUNS_UNTOLD = "{dspy}:runs:untold"
RUNS_SUBMITTED = "{dspy}:runs:submitted"
RUN_EVENTS = "{dspy}:run_events"
PROGRAM = "{dspy}:program:"
CONVERSATION = "{dspy}:conversation:"
CONVERSATIONS = "{dspy}:conversations"

_FIRST_DAY = date(1970, 1, 1)


def job_key(job_id: str) -> str:
    """Return the key of a job's record, the one that scripts about one job are called with."""
    return JOB + job_id


def log_key(job_id: str) -> str:
    """Return the key of a job's event log."""
    return f"{JOB}{job_id}:events"


def spec_key(job_id: str) -> str:
    """Return the key of what was asked for."""
    return f"{JOB}{job_id}:spec"


def index_key(tenant: str) -> str:
    """Return the key of the index of a tenant's jobs."""
    return f"{{dspy}}:jobs:{tenant}"


def idempotency_key(tenant: str, key: str) -> str:
    """Return where it stands what an idempotency key stands for."""
    return f"{{dspy}}:idem:{tenant}:{key}"


def program_key(tenant: str, name: str) -> str:
    """Return the key of a served program, the one that scripts about it are called with."""
    return f"{PROGRAM}{tenant}:{name}"


def programs_key(tenant: str) -> str:
    """Return the key of the list of a tenant's served programs."""
    return f"{{dspy}}:programs:{tenant}"


def run_key(run_id: str) -> str:
    """Return the key of a run's record."""
    return RUN + run_id


def run_log_key(run_id: str) -> str:
    """Return the key of a run's events."""
    return f"{RUN}{run_id}:log"


def run_short_key(run_id: str) -> str:
    """Return the key of what a run's events come to."""
    return f"{RUN}{run_id}:short"


def talk_key(tenant: str, conversation_id: str) -> str:
    """Return the key of the live runs of a conversation."""
    return f"{{dspy}}:runs:talk:{tenant}:{conversation_id}"


def usage_key(tenant: str, day: date) -> str:
    """Return the key of what a tenant's runs of a UTC day cost."""
    return f"{{dspy}}:runs:usage:{tenant}:{(day - _FIRST_DAY).days}"


def run_idempotency_key(tenant: str, key: str) -> str:
    """Return where it stands which run an idempotency key stands for."""
    return f"{{dspy}}:runs:idem:{tenant}:{key}"


def conversation_key(conversation_id: str) -> str:
    """Return the key of a conversation, the one that scripts about it are called with."""
    return CONVERSATION + conversation_id


def conversations_key(tenant: str, owner: str | None = None) -> str:
    """Return the key of the list of a tenant's conversations, or of those of one owner."""
    return f"{CONVERSATIONS}:{tenant}" + ("" if owner is None else f":of:{owner}")
