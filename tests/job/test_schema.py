"""`jobs/schema.json`, from which editors know the keys of a job file."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from scripts import make_schema

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))


def test_the_schema_is_current():
    assert make_schema.FILE.read_text() == make_schema.text(), (
        "the sections of the job file have changed: run scripts/make_schema.py"
    )


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_our_jobs_fit_the_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), make_schema.schema())


@pytest.mark.parametrize(
    "job",
    [
        {"job": "a", "training": {"stepps": 3}},
        {"job": "a", "training": {"steps": "many"}},
        {"job": "a", "model": {"net": {"kind": "unet", "heads": 0}}},
        {"seed": 0},
    ],
)
def test_faults_are_found_by_the_schema_too(job):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, make_schema.schema())


def test_every_key_is_described_or_speaks_for_itself():
    sections = make_schema.schema()["$defs"]
    described = [
        "description" in field
        for section in sections.values()
        for field in section.get("properties", {}).values()
    ]
    assert sum(described) / len(described) > 0.75
