"""What process 0 evaluates, draws and reports, with real models, stores and training steps."""

import io
import logging
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ardm.data.dataset import Dataset
from ardm.events import kinds
from ardm.events.curve import Curve
from ardm.events.event_log import EventLog
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.hooks import EvaluationHook, ReportHook
from ardm.runner.pace import WINDOW
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.training import state as states
from ardm.training.evaluate import Disturbed
from ardm.training.loop import Done, train
from ardm.training.state import TrainState
from tests.clock import Clock
from tests.runner.setting import events, tiny_spec
from tests.training.setting import tiny_config, tiny_images, tiny_model, tiny_work

pytestmark = pytest.mark.slow

MODEL = tiny_model()
IMAGES = tiny_images(60)
DATA = Dataset.of("noise", 2, {"train": IMAGES[:20], "valid": IMAGES[20:40], "test": IMAGES[40:]})
SPEC = tiny_spec("evaluation={images: 8, final_images: 12, samples: 4, sample_steps: 4, passes: 2}")
STEP = 5


@pytest.fixture(scope="module")
def state() -> TrainState:
    return states.init(MODEL, tiny_config(), 7)._replace(step=jnp.int32(STEP))


class Attempt:
    """An attempt of a run, with all that its hooks write to."""

    def __init__(self, run: Run) -> None:
        self.run, self.number = run, claims.claim(run, {})
        self.event_log, self.curve, self.clock = EventLog(run, self.number), Curve(), Clock()
        self.heartbeat = Heartbeat(run, self.number, self.event_log, dict)
        self.evaluation = EvaluationHook(
            run, SPEC, DATA, MODEL, self.heartbeat, self.event_log, self.curve
        )
        self.report = ReportHook(100, self.event_log, self.heartbeat, self.clock)

    def events(self, kind: type[kinds.E]) -> list[kinds.E]:
        self.event_log.flush()
        return events(self.run, self.number, kind)

    def names(self, kind: str) -> list[str]:
        return self.run.store.names(f"{self.run.name}/{kind}")


@pytest.fixture
def attempt(local_run: Run) -> Iterator[Attempt]:
    attempt = Attempt(local_run)
    yield attempt
    attempt.heartbeat.close()


def test_an_evaluation_leaves_its_figures_a_picture_and_the_curves(
    attempt: Attempt, state: TrainState
) -> None:
    attempt.evaluation.evaluate(state, final=False)
    (event,) = attempt.events(kinds.Evaluated)
    assert (event.step, event.split, event.images) == (STEP, "valid", 8)
    assert attempt.curve.valid == {STEP: (event.nelbo_bpd, event.se_bpd)}
    assert attempt.names("evaluations") == ["00000005-valid.npz"]
    content = attempt.run.store.read(attempt.run.file("evaluations", "00000005-valid.npz"))
    each = np.load(io.BytesIO(content))
    assert each["nelbo"].shape == (2, 8)
    bpd = each["nelbo"].mean() / (16 * np.log(2))
    assert event.nelbo_bpd == pytest.approx(bpd, abs=1e-5)
    picture = attempt.run.store.read(attempt.run.file("samples", "00000005.png"))
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert attempt.names("plots") == ["loss-per-t.png", "loss.png"]


def test_the_test_images_are_kept_for_the_end(attempt: Attempt, state: TrainState) -> None:
    attempt.evaluation.evaluate(state, final=True)
    found = {event.split: event.images for event in attempt.events(kinds.Evaluated)}
    assert found == {"valid": 8, "test": 12}
    assert attempt.curve.test.keys() == attempt.curve.valid.keys() == {STEP}
    assert attempt.names("evaluations") == ["00000005-test.npz", "00000005-valid.npz"]
    assert attempt.names("plots") == ["completions.png", "loss-per-t.png", "loss.png"]


@pytest.mark.parametrize("moment", ["at once", "after the estimate", "after the picture"])
def test_an_evaluation_that_is_broken_off_counts_for_nothing(
    attempt: Attempt, state: TrainState, moment: str
) -> None:
    go_on: Callable[[], bool] = {
        "at once": lambda: False,
        "after the estimate": lambda: not attempt.names("evaluations"),
        "after the picture": lambda: not attempt.names("samples"),
    }[moment]
    with pytest.raises(Disturbed):
        attempt.evaluation.evaluate(state, final=False, go_on=go_on)
    assert attempt.events(kinds.Evaluated) == []
    assert attempt.curve == Curve()
    assert attempt.names("plots") == []
    assert bool(attempt.names("samples")) == (moment == "after the picture")


def test_a_store_without_room_for_pictures_costs_the_pictures_alone(
    attempt: Attempt, state: TrainState
) -> None:
    for kind in ("samples", "plots", "evaluations"):
        attempt.run.store.write(f"{attempt.run.name}/{kind}", b"in the way")
    attempt.evaluation.evaluate(state, final=False)
    assert len(attempt.events(kinds.Evaluated)) == 1


@pytest.fixture(scope="module")
def steps() -> list[Done]:
    """Steps of a real training."""
    work = tiny_work()
    return list(train(work, states.place(states.init(work.model, work.config, 7)), lambda: 0))


def broken(done: Done) -> Done:
    """The same step, had its loss not been finite."""
    metrics = done.metrics._replace(nelbo_bpd=jnp.float32(np.nan))
    return done._replace(metrics=metrics, finite=False)


def test_the_first_step_is_recorded_once_without_what_came_before_it(
    attempt: Attempt, steps: list[Done]
) -> None:
    attempt.clock.now += 100.0  # data are loaded
    attempt.report.begin()
    for done in steps[:3]:
        attempt.clock.now += 7.0
        attempt.report.after_step(done)
    (event,) = attempt.events(kinds.FirstStep)
    assert (event.step, event.seconds) == (1, 7.0)
    assert event.compile_s >= 0.0


def test_a_point_of_the_curve_is_the_mean_of_a_window(attempt: Attempt, steps: list[Done]) -> None:
    for done in steps:
        attempt.clock.now += WINDOW / (len(steps) - 1)
        attempt.report.after_step(done)
        if done.step < len(steps):
            assert attempt.events(kinds.Trained) == []
    mean = np.mean([float(done.metrics.nelbo_bpd) for done in steps])
    (event,) = attempt.events(kinds.Trained)
    assert event.step == len(steps)
    assert event.nelbo_bpd == pytest.approx(mean, abs=1e-5)
    assert event.steps_per_s == pytest.approx((len(steps) - 1) / WINDOW)
    assert attempt.report.curve.train == {len(steps): event.nelbo_bpd}
    assert attempt.report.now()["eta_s"] == pytest.approx(94 * WINDOW / 5, abs=0.1)


def test_every_step_that_is_left_out_is_recorded_and_the_first_one_is_logged(
    attempt: Attempt, steps: list[Done], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ardm"):
        for done in (steps[0], broken(steps[1]), broken(steps[2]), steps[3]):
            attempt.clock.now += WINDOW
            attempt.report.after_step(done)
    left_out = attempt.events(kinds.SkippedStep)
    assert [event.step for event in left_out] == [2, 3]
    assert all("loss nan" in event.reason for event in left_out)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("step 2 is left out: the loss or the gradient is not finite (loss nan")
    # The window of step 3 alone has no mean, and no point on the curve.
    windows = {event.step: event.nelbo_bpd for event in attempt.events(kinds.Trained)}
    assert windows[3] is None
    assert windows.keys() == {2, 3, 4}
    assert attempt.report.curve.train == {2: windows[2], 4: windows[4]}
