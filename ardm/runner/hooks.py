"""Hooks of process 0: evaluation, pictures, and reports of steps."""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt

from ardm.data.alphabet import Alphabet, show_all
from ardm.data.config import alphabet, encoding, medium, rate
from ardm.data.dataset import Dataset, spread_indices
from ardm.data.media import AUDIO, IMAGE
from ardm.data.waves import Sound
from ardm.events import kinds
from ardm.events.curve import Curve
from ardm.events.event_log import EventLog
from ardm.job.spec import JobSpec
from ardm.model import inpaint, policy
from ardm.model.build import Model, Params
from ardm.model.sampling import sample
from ardm.plots import pictures, text_sheets
from ardm.runner.compilation import compile_time
from ardm.runner.context import StepRecord
from ardm.runner.heartbeat import Heartbeat
from ardm.runner.pace import Pace
from ardm.store.run_directory import Run
from ardm.training.estimates import Estimate, as_npz, estimate
from ardm.training.evaluate import Disturbed, Evaluator
from ardm.training.loop import Done, not_finite
from ardm.training.state import TrainState, seed_key

log = logging.getLogger(__name__)

COMPLETED, COMPLETIONS = 4, 4
"""Numbers of validation images that are completed after the last step, and of their completions."""


class EvaluationHook:
    """Evaluates the EMA of a run, and draws samples and curves."""

    def __init__(
        self,
        run: Run,
        spec: JobSpec,
        data: Dataset,
        model: Model,
        heartbeat: Heartbeat,
        events: EventLog,
        curve: Curve,
    ) -> None:
        self._run, self._spec, self._data, self._model = run, spec, data, model
        self._heartbeat, self._events, self._curve = heartbeat, events, curve
        self._medium = medium(spec.data)
        self._evaluator = Evaluator(model, spec.seed)

    def evaluate(
        self, state: TrainState, *, final: bool, go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Evaluate on validation images, at the end also on test images, sample, and draw curves.

        Args:
            state: the state after a step; its EMA is evaluated.
            final: whether this is after the last step; only then are test images used.
            go_on: called often; once it returns False, as after a preemption notice, the
                evaluation is abandoned.

        Raises:
            Disturbed: `go_on` returned False.
        """
        begin, step, config = time.monotonic(), int(state.step), self._spec.evaluation
        ema = self._model.unravel(np.asarray(state.ema))
        counts = {"valid": config.images} | ({"test": config.final_images} if final else {})
        estimates = {s: self._measure(ema, step, s, count, go_on) for s, count in counts.items()}
        if not go_on():
            raise Disturbed
        if config.samples:
            self._sample(ema, step)
            if final and self._medium == IMAGE and self._model.objective.several_per_call:
                self._complete(ema, step)
            if not go_on():  # the caller may have abandoned this thread meanwhile
                raise Disturbed
        for split, result in estimates.items():
            figures: dict[str, Any] = {k: _rounded(v) for k, v in result._asdict().items()}
            seconds = round(time.monotonic() - begin, 3)
            event = kinds.Evaluated(step=step, split=split, **figures, seconds=seconds)
            self._curve.add(self._events.add(event))
            begin = time.monotonic()
        self._draw_curves(state, step)
        # The next checkpoint may be far, and an evaluation is not repeated.
        self._heartbeat.keep_records()

    def _measure(
        self, ema: Params, step: int, split: str, count: int | None, go_on: Callable[[], bool]
    ) -> Estimate:
        """Estimate the NELBO on images of a split, and write the estimate of every image."""
        images = self._data.images(split)
        chosen = spread_indices(len(images), count)
        per_image = self._evaluator.per_image(
            ema, images[chosen], self._spec.evaluation.passes, go_on
        )
        mean, words = estimate(per_image, self._model.objective), self._medium
        log.info(
            "step %d: %s NELBO %.4f ± %.4f %s on %d %s of %s",
            step, split, mean.nelbo_bpd, mean.se_bpd, words.unit, mean.images, words.examples,
            self._data.title,
        )  # fmt: skip
        self._heartbeat.scalar(f"{split}/nelbo_bpd", mean.nelbo_bpd, step)
        self._heartbeat.put("evaluations", f"{step:08d}-{split}.npz", as_npz(per_image, chosen))
        return mean

    def _sample(self, ema: Params, step: int) -> None:
        config, model = self._spec.evaluation, self._model
        objective = model.objective
        calls = objective.steps
        if objective.several_per_call:
            calls = int(np.clip(config.sample_steps, objective.stages, objective.steps))
        samples = sample(
            model.bind(ema),
            seed_key(self._spec.seed),
            config.samples,
            policy.uniform(objective.D, calls, objective.stages),
            objective=objective,
            batch=min(config.samples, 16),
        )
        if self._medium == IMAGE:
            self._put_picture("samples", pictures.grid(samples.images, model.classes), step)
            return
        if self._medium == AUDIO:
            self._write_sounds(samples.images, step)
            return
        texts = show_all(samples.images, Alphabet(alphabet(self._spec.data)))
        self._heartbeat.put("samples", f"{step:08d}.txt", text_sheets.sheet(texts).encode())
        self._heartbeat.text("samples", text_sheets.markdown(texts), step)

    def _complete(self, ema: Params, step: int) -> None:
        """Complete the lower halves of a few validation images, each in several ways."""
        config, objective = self._spec.evaluation, self._model.objective
        images = self._data.images("valid")
        originals = images[spread_indices(len(images), COMPLETED)]
        known = inpaint.keep("top-half", *originals.shape[1:3])
        given = np.broadcast_to(known[..., None], objective.shape)
        count = int(given.sum())
        least, most = objective.stages, objective.stages * (objective.D - count)
        unused = np.zeros(objective.steps)  # calls are evenly spread
        calls = int(np.clip(config.sample_steps, least, most))
        starts = policy.remaining(unused, count, calls, stages=objective.stages, evenly=True)
        completed = inpaint.inpaint(
            self._model.bind(ema),
            seed_key(self._spec.seed),
            originals,
            given,
            starts,
            COMPLETIONS,
            objective=objective,
        )
        png = pictures.completion_grid(originals, known, completed, self._model.classes)
        self._heartbeat.put("plots", "completions.png", png)
        self._heartbeat.picture("completions", png, step)

    def _write_sounds(self, values: UInt[np.ndarray, "n l 1 1"], step: int) -> None:
        # Imported here since it imports Matplotlib, which would delay the first step.
        from ardm.plots import sound_sheets

        data = self._spec.data
        sound = Sound(rate(data), encoding(data))
        for number, one in enumerate(values, 1):
            self._heartbeat.put("samples", f"{step:08d}-{number}.wav", sound.wav(one))
        png = sound_sheets.sheet(sound.samples(values[:, :, 0, 0]), sound.rate)
        self._put_picture("samples", png, step)

    def _put_picture(self, kind: str, png: bytes, step: int) -> None:
        self._heartbeat.put(kind, f"{step:08d}.png", png)
        self._heartbeat.picture(kind, png, step)

    def _draw_curves(self, state: TrainState, step: int) -> None:
        # Imported here since it imports Matplotlib, which would delay the first step.
        from ardm.plots import curves

        name = self._run.name
        evaluated = {"valid": self._curve.valid, "test": self._curve.test}
        unit = self._medium.unit
        curve = curves.loss_curve(self._curve.train, evaluated, name, unit)
        self._heartbeat.put("plots", "loss.png", curve)
        nats = np.asarray(state.kl.nats)
        objective = self._model.objective
        per_t = curves.loss_per_t(nats, step, name, objective.values, objective.stages, unit)
        self._heartbeat.put("plots", "loss-per-t.png", per_t)


def _rounded(value: float | int) -> float | int:
    return round(value, 6) if isinstance(value, float) else value


class ReportHook:
    """Reports the steps of an attempt.

    Args:
        total_steps: the number of steps of the job.
        events: the event log of the attempt.
        heartbeat: receives the scalars for the trackers.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        total_steps: int,
        events: EventLog,
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events, self._heartbeat, self._clock = events, heartbeat, clock
        self._total_steps = total_steps
        self.curve = Curve()
        """The loss curve of the run so far."""
        self.pace = Pace(total_steps, clock)
        self._skipped = 0
        self._compiled = compile_time().seconds
        self._began = clock()
        self._has_trained = False

    def begin(self) -> None:
        """Start the clock of the first step, before which only compiling is left to do."""
        self._began = self._clock()

    def after_step(self, done: Done) -> None:
        """Report a finished step."""
        if not self._has_trained:
            self._record_first(done)
        nelbo = self.pace.step(done.step, float(done.metrics.nelbo_bpd))
        if not done.finite:
            self._record_skipped(done)
        self._heartbeat.scalar("train/nelbo_bpd", nelbo, done.step)
        self._heartbeat.scalar("train/grad_norm", float(done.metrics.grad_norm), done.step)
        if window := self.pace.window():
            self.curve.add(self._events.add(kinds.Trained(step=done.step, **window)))
            self._heartbeat.scalar("train/steps_per_s", window["steps_per_s"], done.step)

    def record(self, done: Done) -> StepRecord:
        """A finished step, for the code that called the training."""
        return StepRecord(
            done.step,
            self._total_steps,
            float(done.metrics.nelbo_bpd),
            float(done.metrics.grad_norm),
            self.now()["steps_per_s"],
        )

    def now(self) -> dict[str, Any]:
        """Rate, remaining seconds and mean NELBO, for the progress object."""
        return self.pace.now()

    def _record_first(self, done: Done) -> None:
        """Record the first step, and how much of its time went into compiling."""
        self._has_trained = True
        seconds = self._clock() - self._began
        compiled = round(compile_time().seconds - self._compiled, 3)
        self._events.add(
            kinds.FirstStep(step=done.step, seconds=round(seconds, 3), compile_s=compiled)
        )

    def _record_skipped(self, done: Done) -> None:
        """Record a step that was not finite; only the first such step is logged."""
        reason = not_finite(done.metrics)
        if not self._skipped:
            log.warning(
                "step %d is left out: %s; `ardm status` counts such steps", done.step, reason
            )
        self._skipped += 1
        self._events.add(kinds.SkippedStep(step=done.step, reason=reason))
