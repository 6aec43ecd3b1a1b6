"""`jobs/schema.json`, from which editors know the keys of a job file."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from scripts import make_reference, make_schema

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


def test_every_key_is_described():
    sections = [make_schema.schema(), *make_schema.schema()["$defs"].values()]
    fields = {
        key: field for section in sections for key, field in section.get("properties", {}).items()
    }
    bare = [k for k, f in fields.items() if not {"description", "$ref", "oneOf"} & f.keys()]
    assert bare == []


def test_the_reference_is_current():
    assert make_reference.FILE.read_text() == make_reference.text(), (
        "the sections of the job file have changed: run scripts/make_reference.py"
    )
