"""The ids of webhook deliveries: one for each end of a job, the same over all tries."""


def delivery_id_of(job_id: str, seq: int) -> str:
    """Return the id of the delivery that tells the end with the terminal event ``seq``."""
    return f"msg_{job_id}_{seq}"


def parts_of(delivery_id: str) -> tuple[str, int]:
    """Return the job's id and the number of its terminal event. Raises ValueError for what is no delivery's id."""
    job_id, _, seq = delivery_id.removeprefix("msg_").rpartition("_")
    return job_id, int(seq)
