"""The composition root opens what the settings name, and closes it again."""

from pathlib import Path

import pytest

from dspy_service.bootstrap import open_services
from dspy_service.config import Settings
from dspy_service.domain.errors import ConfigurationError
from tests.support.job_samples import a_new_job


async def test_a_job_can_be_stored_and_rung_for(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, redis_url=redis_url, data_dir=tmp_path / "data", artifacts_url=str(tmp_path / "artifacts")
    )

    async with open_services(settings) as services:
        job, _ = await services.jobs.create(a_new_job())
        await services.artifacts.put(job.dataset_path, b"[]")
        await services.doorbell.ring(job.job_id)

        assert await services.jobs.get(job.job_id) == job
        assert services.registry.optimizer(job.optimizer_name)
        assert services.settings is settings
    assert (tmp_path / "artifacts" / job.dataset_path).read_bytes() == b"[]"


def test_a_single_role_needs_the_address_of_a_store() -> None:
    with pytest.raises(ConfigurationError, match="DSPY_SERVICE_REDIS_URL is empty"):
        open_services(Settings(_env_file=None, redis_url=""))
