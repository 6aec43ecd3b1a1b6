"""How many workers train: decisions of real policies on a real Ray (`scaling_decisions.py`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Each decision, by its name."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    # Else Ray leaves a token in the home directory, and asks for it from then on.
    environment["RAY_AUTH_MODE"] = "disabled"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.cluster.scaling_decisions",
            str(tmp_path_factory.mktemp("ray")),
        ],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: line for line in lines}


def test_a_fixed_group_has_the_number_that_was_asked_for(decisions: dict[str, Any]) -> None:
    assert decisions["fixed"]["decision"] == "ResizeDecision"
    assert decisions["fixed"]["num_workers"] == 2


def test_an_elastic_group_begins_with_the_largest_size_that_there_is_room_for(
    decisions: dict[str, Any],
) -> None:
    assert decisions["room for three"]["num_workers"] == 2


def test_a_group_that_could_be_larger_is_asked_to_make_way_and_not_killed(
    decisions: dict[str, Any],
) -> None:
    assert decisions["one of two"]["decision"] == "NoopDecision"
    assert decisions["one of two"]["heard"] == [[None, "the group grows from 1 to 2 workers"]]


@pytest.mark.parametrize("name", ["two of two", "fixed and well"])
def test_a_group_that_is_as_it_should_be_hears_nothing(
    decisions: dict[str, Any], name: str
) -> None:
    assert decisions[name]["decision"] == "NoopDecision"
    assert decisions[name]["heard"] == [[None, None]] * 2


@pytest.mark.parametrize("name", ["fixed and drained", "elastic and drained"])
def test_every_worker_hears_of_a_drain_and_the_group_is_left_to_save(
    decisions: dict[str, Any], name: str
) -> None:
    assert decisions[name]["decision"] == "NoopDecision"
    heard = [drain for drain, _ in decisions[name]["heard"]]
    ranks = ", ".join(str(rank) for rank in range(len(heard)))
    assert heard == [f"Ray drains the node of rank {ranks}"] * len(heard)


def test_no_group_is_started_on_a_node_that_is_being_drained(decisions: dict[str, Any]) -> None:
    assert decisions["no room"]["decision"] == "NoopDecision"
