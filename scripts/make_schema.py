"""Writes `jobs/schema.json`, from which editors know the keys of a job file.

.venv/bin/python scripts/make_schema.py
"""

import json
from pathlib import Path
from typing import Any

from ardm.job.spec import JobSpec

FILE = Path(__file__).parents[1] / "jobs" / "schema.json"


def schema() -> dict[str, Any]:
    """The JSON schema of a job file."""
    found = JobSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def text() -> str:
    """The content of the file."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"{FILE.name}: {len(text())} bytes")
