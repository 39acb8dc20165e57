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
==========================================  ===================================================================

Times are microseconds since 1970. The scripts know the same names, in ``lua/prelude.lua``.
"""

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
