"""The job files of the repository."""

from pathlib import Path

import pytest

from ardm.job.spec import load

FILES = sorted((Path(__file__).parents[1] / "jobs").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_job_file_is_valid_and_named_as_its_job(file):
    assert load(file).job == file.stem
