"""`cluster.yaml`, `Dockerfile` and what they need, without a cloud.

Ray's own check accepts a node without a machine type or a provider without a region, so the rest
is checked here.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The file as Ray uses it: with Ray's defaults for what it leaves out."""
    from ray.autoscaler._private.util import (  # private: what `ray up` does to a file first
        prepare_config,
        validate_config,
    )

    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    return config


@pytest.fixture(scope="module")
def head(cluster):
    return cluster["available_node_types"][cluster["head_node_type"]]


@pytest.fixture(scope="module")
def workers(cluster):
    types = cluster["available_node_types"]
    return [types[name] for name in types if name != cluster["head_node_type"]]


def lines_of(name: str) -> list[str]:
    """The lines of a file without its comments, with continued lines joined."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def locked(name: str) -> dict[str, str]:
    """The version of each package in a lock file, for the image's Python."""
    requirements = [Requirement(line.split(" --hash")[0]) for line in lines_of(name)]
    environment = {"python_version": "3.12", "python_full_version": "3.12.0"}
    return {
        requirement.name: str(requirement.specifier)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def test_place_is_complete(cluster):
    provider = cluster["provider"]
    assert provider["type"] == "gcp"
    assert provider["availability_zone"].startswith(provider["region"] + "-")
    assert provider["cache_stopped_nodes"] is False


def test_every_node_has_a_machine_and_a_disk_with_an_image(head, workers):
    for node in (head, *workers):
        assert node["node_config"]["machineType"]
        (disk,) = node["node_config"]["disks"]
        assert disk["boot"]
        assert disk["autoDelete"]
        assert "/images/" in disk["initializeParams"]["sourceImage"]


def test_head_is_on_demand_and_without_a_gpu(head):
    assert "scheduling" not in head["node_config"]
    assert "guestAccelerators" not in head["node_config"]
    assert not head["node_config"]["machineType"].startswith(("a2-", "a3-", "g2-"))
    assert "GPU" not in head["resources"]


def test_workers_are_spot_machines_with_one_gpu(cluster, workers):
    assert workers
    assert cluster["max_workers"] == sum(worker["max_workers"] for worker in workers) == 4
    for worker in workers:
        assert worker["min_workers"] == 0
        assert worker["resources"]["GPU"] == 1
        scheduling = worker["node_config"]["scheduling"]
        assert scheduling["provisioningModel"] == "SPOT"
        assert "preemptible" not in scheduling
        # What Google requires of spot machines and of GPUs.
        assert scheduling["onHostMaintenance"] == "TERMINATE"
        assert scheduling["automaticRestart"] is False


def test_workers_have_an_account_of_their_own_that_starts_no_machines(cluster, workers):
    from ray.autoscaler._private.gcp.config import (  # private: known to Ray alone
        DEFAULT_SERVICE_ACCOUNT_ID,
    )

    project, text = cluster["provider"]["project_id"], (ROOT / "cluster.yaml").read_text()
    for worker in workers:
        (account,) = worker["node_config"]["serviceAccounts"]
        name, _, domain = account["email"].partition("@")
        assert domain == f"{project}.iam.gserviceaccount.com"
        assert name != DEFAULT_SERVICE_ACCOUNT_ID  # Ray lets it administer compute engines
        assert account["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
        assert f"gcloud iam service-accounts create {name}" in text
    granted = set(re.findall(r"--role=(\S+)", text))
    assert granted == {"roles/storage.objectUser", "roles/artifactregistry.reader"}


def test_head_keeps_the_account_that_ray_makes_for_it(head):
    assert "serviceAccounts" not in head["node_config"]


def test_every_container_knows_the_store(cluster):
    assert any(
        re.fullmatch(r"--env ARDM_STORE=gs://[^/]+/\S+", option)
        for option in cluster["docker"]["run_options"]
    )


def test_what_a_user_must_edit_is_marked_and_refused_as_it_stands(cluster):
    """Ray would try to create a project that does not exist; a capital letter makes it invalid."""
    text = (ROOT / "cluster.yaml").read_text()
    for line in text.splitlines():
        if not line.startswith("#"):
            assert ("YOUR-" in line) == ("# EDIT" in line), line
    assert cluster["provider"]["project_id"] == "YOUR-PROJECT"
    assert "/YOUR-PROJECT/" in cluster["docker"]["image"]


def test_registry_login_is_for_the_image(cluster):
    registry = cluster["docker"]["image"].split("/")[0]
    assert any(registry in command for command in cluster["initialization_commands"])


def test_nothing_is_installed_at_start(cluster):
    """Ray's defaults, used where a file says nothing, install another Ray."""
    for kind in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert cluster[kind] == []


def test_head_runs_the_autoscaler_and_workers_join_it(cluster):
    (head,) = [c for c in cluster["head_start_ray_commands"] if c.startswith("ray start")]
    (worker,) = [c for c in cluster["worker_start_ray_commands"] if c.startswith("ray start")]
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    port = re.search(r"--port=(\d+)", head)
    assert port is not None
    assert f"--address=$RAY_HEAD_IP:{port[1]}" in worker


def test_every_node_has_an_agent_that_outlives_the_session_that_starts_it(cluster):
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        last = cluster[kind][-1]
        assert re.fullmatch(r"setsid nohup ardm node-agent < /dev/null > \S+ 2>&1 &", last)


def test_the_line_that_ends_an_idle_head_needs_nothing_but_its_hash_taken_away():
    before = (ROOT / "cluster.yaml").read_text()
    text = before.replace("  # - setsid nohup ardm idle-stop", "  - setsid nohup ardm idle-stop")
    assert text != before
    commands = yaml.safe_load(text)["head_start_ray_commands"]
    assert commands[-2].startswith("setsid nohup ardm idle-stop --after 60 <")
    assert yaml.safe_load(text)["worker_start_ray_commands"][-1] == commands[-1]


def test_dashboard_is_not_open_to_the_world(cluster):
    """Whoever reaches it runs code on the cluster."""
    (head,) = [c for c in cluster["head_start_ray_commands"] if c.startswith("ray start")]
    assert "--dashboard-host=127.0.0.1" in head


def test_image_has_a_python_that_the_package_supports():
    (base,) = [line for line in lines_of("Dockerfile") if line.startswith("FROM")]
    version = re.fullmatch(r"FROM python:(3\.\d+)-slim", base)
    assert version is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version[1] == "3.12"  # what requirements-cuda.lock is for
    assert version[1] in SpecifierSet(project["requires-python"])


def test_what_the_image_copies_exists_and_is_not_ignored():
    copies = [line.split()[1:-1] for line in lines_of("Dockerfile") if line.startswith("COPY")]
    sources = {source for copy in copies for source in copy}
    ignore = lines_of(".dockerignore")
    assert ignore[0] == "*"
    assert sources == {line.removeprefix("!") for line in ignore if line.startswith("!")}
    for source in sources:
        assert (ROOT / source).exists(), source


def test_image_installs_from_hashes():
    installs = [line for line in lines_of("Dockerfile") if "uv pip install" in line]
    assert "--require-hashes -r /tmp/requirements-cuda.lock" in installs[0]
    assert all("--no-deps" in line for line in installs[1:])
    for line in lines_of("requirements-cuda.lock"):
        assert re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_image_has_what_the_tests_were_run_with():
    plain, cuda = locked("requirements.lock"), locked("requirements-cuda.lock")
    differing = {
        name: (plain[name], cuda[name])
        for name in plain.keys() & cuda.keys()
        if plain[name] != cuda[name]
    }
    assert differing == {}


def test_image_has_cuda_and_what_the_head_needs_to_start_machines():
    names = locked("requirements-cuda.lock")
    assert names["jax-cuda12-plugin"] == names["jax"] == names["jaxlib"]
    assert "google-api-python-client" in names


def test_image_has_every_dependency_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = locked("requirements-cuda.lock")
    for dependency in map(Requirement, project["dependencies"]):
        assert dependency.name in names
        assert dependency.specifier.contains(names[dependency.name].removeprefix("=="))


def test_image_runs_as_a_user_whose_home_ray_finds():
    """Ray's launcher (2.60) takes the home directory from HOME in the image, else /root."""
    lines = lines_of("Dockerfile")
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    (added,) = [line for line in lines if "useradd" in line]
    assert user not in ("root", "0")
    assert added.endswith(user)
    assert "--create-home" in added
    assert f"ENV HOME=/home/{user}" in lines
    # All that is installed is in place before, and belongs to root.
    assert lines[-1] == f"USER {user}"
