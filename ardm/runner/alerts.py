"""Alerts: messages to people when a run has ended, or when something is wrong with it.

They go to web hooks and commands, each on a thread of its own, so that none delays training or
another. A target that fails is tried again for a while; what cannot be delivered is logged.
"""

import json
import logging
import os
import queue
import shlex
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import requests

from ardm.events import kinds
from ardm.events.events import Event, Outcome
from ardm.job.config import is_target
from ardm.job.spec import JobSpec
from ardm.store.retry import Deadline, retry
from ardm.store.run_directory import Run

log = logging.getLogger(__name__)

VARIABLE = "ARDM_NOTIFY"
"""Environment variable with further targets, one a line."""

PATIENCE, ANSWER = 30.0, 10.0
"""Seconds for which a message is tried again, and within which a target must answer."""

AT_END, ON_NOTICE = 15.0, 2.0
"""Seconds that an attempt waits at its end for its last messages; and after a preemption notice."""

UNSAVED, INTERVALS = 600.0, 10.0
"""A message is sent when no save has succeeded for so many seconds, and for so many intervals."""

_TITLES = {
    "completed": "completed",
    "failed": "FAILED",
    "crash_loop": "FAILED: crash loop",
    "limit_reached": "ended at a limit",
    "unsaved": "cannot save",
    "preempted": "was preempted",
}


class Alert(NamedTuple):
    """A message.

    Attributes:
        event: one of the keys of `_TITLES`.
        run: name of the run.
        store: address of its store.
        step: the last finished step.
        total_steps: number of steps of the job.
        reason: what happened.
    """

    event: str
    run: str
    store: str
    step: int
    total_steps: int
    reason: str

    @property
    def title(self) -> str:
        """One line."""
        return f"ardm: {self.run} {_TITLES[self.event]}"

    @property
    def text(self) -> str:
        """The message for people."""
        place = f"step {self.step} of {self.total_steps}, {self.store}"
        return f"{self.title} ({place}): {self.reason}"


class Alerts:
    """Turns the events of an attempt into messages, and sends them.

    Args:
        run: the run.
        spec: the job, which names targets; the variable `ARDM_NOTIFY` may name others.
        alone: whether no other attempt follows by itself, as without Ray.
        clock: returns monotonic seconds.

    Attributes:
        is_crash_loop: whether the attempt ends because earlier ones have made no progress.
    """

    def __init__(
        self,
        run: Run,
        spec: JobSpec,
        *,
        alone: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run, self._spec, self._alone, self._clock = run, spec, alone, clock
        self._senders = [_Sender(target) for target in targets(spec)]
        interval = spec.checkpoint.interval
        seconds = interval if isinstance(interval, float | int) else 0.0
        self._limit = max(UNSAVED, INTERVALS * seconds)
        self._saved: float | None = None
        self._step, self._told, self._figures = 0, False, ""
        self.is_crash_loop = False

    def heard(self, event: Event) -> None:
        """Take note of an event; send a message if it is one that people want to know."""
        if not self._senders:
            return
        step = getattr(event, "step", None)
        self._step = step if isinstance(step, int) else self._step
        if isinstance(event, kinds.FirstStep | kinds.Saved):
            self._saved, self._told = self._clock(), False
        elif isinstance(event, kinds.SaveFailed | kinds.Trained):
            self._check_saves(event)
        elif isinstance(event, kinds.Evaluated) and event.nelbo_bpd is not None:
            self._figures = f"; NELBO on {event.split} {event.nelbo_bpd:.4f} bits/dim"
        elif isinstance(event, kinds.Ended):
            self._ended(event)

    def interrupted(self, attempt: int, reason: str) -> None:
        """Report that an earlier attempt was taken away, if such messages are wanted."""
        if self._spec.notify_preemptions:
            self._send("preempted", f"attempt {attempt} {reason}; the next one goes on")

    def close(self, seconds: float) -> None:
        """Wait so many seconds at most until everything is sent."""
        deadline = Deadline(seconds)
        for sender in self._senders:
            sender.close(deadline)

    def _check_saves(self, event: kinds.SaveFailed | kinds.Trained) -> None:
        if self._saved is None or self._told or self._clock() - self._saved < self._limit:
            return
        self._told = True
        minutes = (self._clock() - self._saved) / 60
        reason = f" ({event.reason})" if isinstance(event, kinds.SaveFailed) else ""
        self._send("unsaved", f"no save has succeeded for {minutes:.0f} minutes{reason}")

    def _ended(self, event: kinds.Ended) -> None:
        outcome, reason = event.outcome, event.reason
        if outcome == Outcome.COMPLETED:
            self._send("completed", reason + self._figures)
        elif outcome == Outcome.LIMITED:
            self._send("limit_reached", reason)
        elif outcome in (Outcome.STOPPED, Outcome.SUPERSEDED, Outcome.RESIZED):
            return  # nobody needs a message about an end that was requested
        elif outcome == Outcome.PREEMPTED or (not outcome.ends_the_job and not self._alone):
            if self._spec.notify_preemptions:
                self._send("preempted", f"{outcome}: {reason}")
        else:
            self._send("crash_loop" if self.is_crash_loop else "failed", f"{outcome}: {reason}")

    def _send(self, event: str, reason: str) -> None:
        total = self._spec.training.steps
        alert = Alert(event, self._run.name, self._run.store.uri, self._step, total, reason)
        for sender in self._senders:
            sender.put(alert)


def targets(spec: JobSpec) -> list[str]:
    """The targets of a job and of the environment, each once."""
    own = [line.strip() for line in os.environ.get(VARIABLE, "").splitlines()]
    named = list(dict.fromkeys([*spec.notify, *filter(None, own)]))
    good = [target for target in named if is_target(target)]
    if good != named:
        log.warning("notify, %s: left out what is neither https:// nor a command", VARIABLE)
    return good


def send(run: Run, spec: JobSpec, event: str, reason: str, step: int = 0) -> None:
    """Send one message, for a process that trains nothing; it takes `AT_END` seconds at most."""
    senders = [_Sender(target) for target in targets(spec)]
    alert = Alert(event, run.name, run.store.uri, step, spec.training.steps, reason)
    for sender in senders:
        sender.put(alert)
    deadline = Deadline(AT_END)
    for sender in senders:
        sender.close(deadline)


def request(url: str, alert: Alert) -> tuple[str, dict[str, Any]]:
    """The URL and the JSON of a message.

    Slack and services like it show `text`. ntfy takes JSON at the root of its server only, with
    the topic inside.
    """
    parts = urllib.parse.urlsplit(url)
    topic = parts.path.strip("/")
    if "ntfy" in (parts.hostname or "").split(".") and topic and "/" not in topic:
        root = parts._replace(path="/").geturl()
        return root, {"topic": topic, "title": alert.title, "message": alert.text}
    return url, {"text": alert.text, "event": alert._asdict()}


class _Sender:
    """Sends messages to one target, in their order, on a thread that begins with the first one."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._queue: queue.SimpleQueue[Alert | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, alert: Alert) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ardm-alerts", daemon=True)
            self._thread.start()
        self._queue.put(alert)

    def close(self, deadline: Deadline) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(deadline.left())

    def _work(self) -> None:
        while (alert := self._queue.get()) is not None:
            try:
                self._deliver(alert)
            except Exception as error:  # no fault of a target may end a training
                # Neither the error nor the address is logged: both may hold a secret.
                log.warning(
                    "a message to %s (%s) could not be delivered: %s",
                    shown(self._target),
                    alert.event,
                    error if isinstance(error, _Refused) else type(error).__name__,
                )

    def _deliver(self, alert: Alert) -> None:
        if is_url(self._target):
            retry(lambda: _post(self._target, alert), Deadline(PATIENCE), _may_pass)
        else:
            _run(shlex.split(self._target), alert)


class _Refused(Exception):
    """A target does not take the message; another try would not help."""


class _Failed(Exception):
    """A target failed; another try may succeed."""


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, _Failed | requests.RequestException)


def is_url(target: str) -> bool:
    """Whether a target is a web hook; otherwise it is a command."""
    return target.startswith(("http://", "https://"))


def shown(target: str) -> str:
    """A target without what may be secret: the host of a web hook, the program of a command."""
    if is_url(target):
        return f"the web hook at {urllib.parse.urlsplit(target).hostname}"
    return f"the command {shlex.split(target)[0]}"


def _post(target: str, alert: Alert) -> None:
    url, content = request(target, alert)
    # The body of the answer is not read: a server could send it for ever.
    with requests.post(
        url, json=content, timeout=(ANSWER, ANSWER), allow_redirects=False, stream=True
    ) as answer:
        code = answer.status_code
    if 300 <= code < 400:
        raise _Refused(f"it redirects (HTTP {code}); give the address to which it redirects")
    if code >= 500 or code == 429:
        raise _Failed(f"HTTP {code}")
    if code >= 400:
        raise _Refused(f"HTTP {code}")


def _run(command: Sequence[str], alert: Alert) -> None:
    content = json.dumps({**alert._asdict(), "text": alert.text})
    try:
        done = subprocess.run(
            command, input=content, text=True, timeout=PATIENCE, stdout=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise _Refused(f"it did not end within {PATIENCE:.0f} s") from error
    if done.returncode:
        raise _Refused(f"it ended with code {done.returncode}")
