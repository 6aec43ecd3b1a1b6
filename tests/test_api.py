"""The public interface: its examples, and training in this process."""

import doctest
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ardm
from ardm.checkpoint.digest import digest
from ardm.errors import JobFailed, NotFound
from tests.runner.setting import tiny_spec

pytestmark = pytest.mark.slow


EXAMPLES = sorted(
    set(ardm.__all__) - {"ArdmError", "__version__", "StepRecord", "Submitted", "submit"}
)


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which the first example has been followed: a store with the run `hello`."""
    folder = tmp_path_factory.mktemp("tour")
    shutil.copytree(Path(__file__).parents[1] / "jobs", folder / "jobs")
    (folder / "texts").mkdir()
    (folder / "texts" / "novel.txt").write_text("It is a truth universally acknowledged. " * 200)
    before = Path.cwd()
    os.chdir(folder)
    follow("ardm", ardm, {})
    yield folder
    os.chdir(before)


def follow(name: str, documented: object, names: dict[str, object]) -> None:
    """Run all examples in a docstring and in those of its methods."""
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    finder = doctest.DocTestFinder(recurse=documented is not ardm)
    # The methods of a class are spread over its bases.
    bases = documented.__mro__ if isinstance(documented, type) else [documented]
    parts = [
        part for part in bases if (getattr(part, "__module__", "") or "").startswith("ardm")
    ] or [documented]
    globs = {"ardm": ardm} | names
    examples = [example for part in parts for example in finder.find(part, name, globs=globs)]
    said: list[str] = []
    for example in examples:
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
    assert runner.tries > 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_true(tour: Path, name: str) -> None:
    names = {
        "model": ardm.load("hello", store="runs"),
        "run": ardm.open_run("hello", store="runs"),
    }
    follow(name, getattr(ardm, name), names)


def test_a_callback_sees_every_step_and_the_same_run_goes_on(tmp_path: Path) -> None:
    seen: list[ardm.StepRecord] = []
    run = ardm.train(tiny_spec(), store=str(tmp_path), run="seen", on_step=seen.append)
    assert [record.step for record in seen] == list(range(1, 25))
    assert {record.total_steps for record in seen} == {24}
    assert all(record.train_nelbo_bpd > 0 and record.grad_norm > 0 for record in seen)
    assert run.status()["state"] == "completed"
    again = ardm.train(tiny_spec(), store=str(tmp_path), run="seen", on_step=seen.append)
    assert len(seen) == 24
    assert again.status()["digest"] == run.status()["digest"]


def test_leaving_the_loop_over_the_steps_saves_and_the_next_loop_goes_on(tmp_path: Path) -> None:
    store = str(tmp_path)
    steps = []
    for record in ardm.train_steps(tiny_spec(), store=store, run="loop"):
        steps.append(record.step)
        if record.step == 7:
            break
    run = ardm.open_run("loop", store=store)
    first = run.status()
    assert first["attempts"][0]["outcome"] == "preempted"
    assert 7 <= first["checkpoint"]["step"] <= 9
    steps += [record.step for record in ardm.train_steps(tiny_spec(), store=store, run="loop")]
    assert steps[:7] == list(range(1, 8))
    assert steps[7:] == list(range(first["checkpoint"]["step"] + 1, 25))
    whole = ardm.train(tiny_spec(), store=store, run="whole")
    assert run.status()["digest"] == whole.status()["digest"]
    assert digest(run.load().params) == digest(whole.load().params)
    events = run.events(1)
    assert (events[0].event, events[-1].event) == ("claimed", "ended")
    assert {event.attempt for event in events} == {1}


def test_an_error_in_a_callback_ends_the_training_with_it(tmp_path: Path) -> None:
    def fail(record: ardm.StepRecord) -> None:
        raise ZeroDivisionError(f"at step {record.step}")

    with pytest.raises(JobFailed, match="at step 1"):
        ardm.train(tiny_spec(), store=str(tmp_path), run="fails", on_step=fail)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no run 'nobody'"):
        ardm.open_run("nobody", store=str(tmp_path))
    with pytest.raises(NotFound, match="no run 'nobody'"):
        ardm.load("nobody", store=str(tmp_path))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ardm.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_that_takes_time() -> None:
    code = "import sys, ardm; ardm.load_job; print({'jax', 'ray', 'numpy'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
    assert set(dir(ardm)) >= set(ardm.__all__)
