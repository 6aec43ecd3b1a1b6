"""Messages at the end of runs and when something is wrong, to real servers and commands."""

import http.server
import json
import shlex
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardm.errors import SpecError
from ardm.events import kinds
from ardm.events.events import Outcome
from ardm.events.records import AttemptRecord
from ardm.runner import alerts, limits
from ardm.runner.alerts import Alert, Alerts
from ardm.runner.context import Notice
from ardm.runner.limits import Limits
from tests.runner.setting import events, newest_digest, opened, tiny_spec
from tests.runner.test_attempt import at, go

pytestmark = pytest.mark.slow

ALERT = Alert("completed", "digits", "gs://bucket/runs", 24, 24, "all steps done")


@contextmanager
def server(*codes, headers=()):
    """A web hook that answers with these codes, the last one again and again; what it received."""
    received, left = [], list(codes)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(content)))
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            for header in headers:
                self.send_header(*header)
            self.end_headers()

        def log_message(self, *_):
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as hook:
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{hook.server_port}/secret-path", received
        hook.shutdown()


def told(received):
    return [content["event"]["event"] for _, content in received]


def spec_with(*targets, preemptions=False, changes=()):
    listed = ", ".join(json.dumps(target) for target in targets)
    more = [f"notify=[{listed}]", f"notify_preemptions={str(preemptions).lower()}"]
    return tiny_spec(*more, *changes)


def test_the_end_of_a_run_is_told_with_its_figures(tmp_path):
    with server(200) as (url, received):
        spec = spec_with(url)
        assert go(opened(str(tmp_path), spec=spec), spec=spec).outcome == "completed"
    ((path, content),) = received
    assert path == "/secret-path"
    assert content["event"]["event"] == "completed"
    assert content["event"]["step"] == content["event"]["total_steps"] == 24
    assert content["text"].startswith("ardm: tiny-1 completed (step 24 of 24, ")
    assert "NELBO on test" in content["text"]


def test_a_command_gets_the_message_on_its_standard_input(tmp_path, monkeypatch):
    to = tmp_path / "got it.json"
    script = f"import sys; open({str(to)!r}, 'w').write(sys.stdin.read())"
    command = shlex.join([sys.executable, "-c", script])
    monkeypatch.setenv(alerts.VARIABLE, f"\n{command}\n\n")
    run = opened(str(tmp_path / "runs"))
    assert go(run).outcome == "completed"
    assert json.loads(to.read_text())["run"] == run.name


def test_a_failure_is_told_and_a_stop_is_not(tmp_path):
    with server(200) as (url, received):
        spec = spec_with(url)
        run = opened(str(tmp_path), spec=spec)

        def fail():
            raise RuntimeError("no such thing")

        assert go(run, at(3, fail), spec=spec).outcome == "failed"
        assert told(received) == ["failed"]
        assert "no such thing" in received[0][1]["text"]
        notice = Notice()
        assert go(run, at(2, lambda: setattr(notice, "reason", "SIGTERM")), notice, spec).outcome
        assert told(received) == ["failed"]


def test_preemptions_are_told_if_asked(tmp_path):
    with server(200) as (url, received):
        spec = spec_with(url, preemptions=True)
        run = opened(str(tmp_path), spec=spec)
        notice = Notice()
        ended = go(run, at(2, lambda: setattr(notice, "reason", "SIGTERM")), notice, spec)
        assert ended.outcome == "preempted"
        assert told(received) == ["preempted"]
        assert "SIGTERM; saved" in received[0][1]["text"]


def test_a_crash_loop_is_told(tmp_path):
    with server(200) as (url, received):
        spec = spec_with(url, changes=["scaling.max_attempts_without_progress=2"])
        run = opened(str(tmp_path), spec=spec)

        class Killed(BaseException):
            """Ends an attempt without a word, as SIGKILL does."""

        def die():
            raise Killed

        for _ in range(2):
            with pytest.raises(Killed):
                go(run, at(1, die), spec=spec, submission="tiny-1-1")
        assert go(run, spec=spec, submission="tiny-1-1").outcome == "failed"
        assert told(received) == ["crash_loop"]


@pytest.mark.parametrize("codes", [(503, 200), (429, 200)])
def test_a_server_that_fails_for_a_while_gets_the_message_later(tmp_path, codes):
    with server(*codes) as (url, received):
        spec = spec_with(url)
        alerts.send(opened(str(tmp_path), spec=spec), spec, "failed", "it broke")
    assert told(received) == ["failed", "failed"]


@pytest.mark.parametrize(("code", "message"), [(404, "HTTP 404"), (302, "it redirects (HTTP 302)")])
def test_what_cannot_be_delivered_is_logged_without_the_address(tmp_path, code, message, caplog):
    with server(code, headers=[("Location", "http://127.0.0.1:9/elsewhere")]) as (url, received):
        spec = spec_with(url)
        alerts.send(opened(str(tmp_path), spec=spec), spec, "failed", "it broke")
    assert len(received) == 1
    assert message in caplog.text
    assert "127.0.0.1" in caplog.text
    assert "secret-path" not in caplog.text


def test_a_server_that_hangs_delays_no_training_and_no_end(tmp_path, monkeypatch, finished):
    monkeypatch.setattr(alerts, "AT_END", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        spec = spec_with(f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        run = opened(str(tmp_path), spec=spec)
        ended = go(run, spec=spec)
    assert ended.outcome == "completed"
    assert newest_digest(run) == newest_digest(finished)
    # The end of the attempt was recorded before the message was given up.
    assert events(run, 1, kinds.Ended)[0].outcome == "completed"


def test_commands_that_fail_end_nothing(tmp_path, caplog):
    commands = ["/no/such/program", "false", f"{sys.executable} -c 'import'"]
    spec = spec_with(*commands)
    assert go(opened(str(tmp_path), spec=spec), spec=spec).outcome == "completed"
    assert caplog.text.count("could not be delivered") == len(commands)


def test_it_is_told_once_that_no_save_succeeds(tmp_path):
    clock = [0.0]
    with server(200) as (url, received):
        spec = spec_with(url, changes=["checkpoint.interval=100"])
        heard = Alerts(opened(str(tmp_path), spec=spec), spec, clock=lambda: clock[0])
        heard.heard(kinds.FirstStep(step=1, seconds=1.0))
        for clock[0] in (999.0, 1001.0, 1500.0):
            heard.heard(kinds.SaveFailed(step=2, reason="No space left"))
        heard.heard(kinds.Saved(step=3))
        heard.heard(kinds.Trained(step=4))
        heard.close(10.0)
    assert told(received) == ["unsaved"]
    assert "for 17 minutes (No space left)" in received[0][1]["text"]


def test_ntfy_gets_its_topic_inside_the_message():
    url, content = alerts.request("https://ntfy.sh/my-runs", ALERT)
    assert url == "https://ntfy.sh/"
    assert content["topic"] == "my-runs"
    assert content["title"] == "ardm: digits completed"
    url, content = alerts.request("https://hooks.slack.com/services/a/b", ALERT)
    assert url == "https://hooks.slack.com/services/a/b"
    assert content["text"].startswith("ardm: digits completed")


def test_records_of_a_run_do_not_hold_the_addresses(tmp_path):
    with server(200) as (url, _):
        spec = spec_with(url)
        run = opened(str(tmp_path), spec=spec)
        go(run, spec=spec)
    for path in Path(tmp_path).rglob("*"):
        if path.is_file() and path.name != "job.yaml":
            assert b"secret-path" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "target",
    [
        "",
        " ",
        "ftp://host/x",
        "https://",
        "https:///path",
        "https://[x/path",
        "a\nb",
        "https:/host/x",
        "hooks.slack.com/services/x",
        "mailto:me@host",
        "TOKEN=x curl",
        'curl "x',
    ],
)
def test_what_is_no_target_is_refused(target):
    with pytest.raises(SpecError, match=r"notify"):
        spec_with(target)


def test_what_is_no_target_in_the_variable_is_left_out_and_not_logged(monkeypatch, caplog):
    good = ["./notify.sh --to 'me: a=b'", "env A=b notify", "https://host/x"]
    bad = ["hooks.slack.com/services/secret", "HTTPS://host/secret", 'curl "secret']
    monkeypatch.setenv("ARDM_NOTIFY", "\n".join([*bad, "", *good]))
    assert alerts.targets(tiny_spec()) == good
    assert "ARDM_NOTIFY: left out" in caplog.text
    assert "secret" not in caplog.text


class TestLimits:
    def test_a_run_ends_at_its_hours_saved_and_told(self, tmp_path, monkeypatch, finished):
        with server(200) as (url, received):
            spec = spec_with(url, changes=["limits.hours=1"])
            run = opened(str(tmp_path), spec=spec)
            # Nobody waits for an hour in a test.
            ended = go(run, at(5, lambda: monkeypatch.setattr(limits, "HOUR", 1e-6)), spec=spec)
            assert ended.outcome == Outcome.LIMITED
            assert 5 <= ended.step < 24
            assert newest_digest(run)[0] == ended.step
            assert "limits.hours (1) are reached; saved" in ended.reason
            assert told(received) == ["limit_reached"]
            again = go(run, spec=spec)
            assert (again.outcome, again.step) == (Outcome.LIMITED, 0)
        raised = tiny_spec("limits.hours=1e6")
        opened(str(tmp_path), run.name, raised)  # no conflict: what is trained is the same
        monkeypatch.undo()
        assert go(run, spec=raised).outcome == "completed"
        assert newest_digest(run) == newest_digest(finished)

    def test_the_cost_counts_all_workers_of_all_attempts(self):
        spec = tiny_spec("scaling.price_per_worker_hour=2", "limits.cost=10")
        earlier = [AttemptRecord(1, None, "", 2, 0, 9, 0, started=0.0, ended=3600.0)]
        clock = [0.0]
        limits = Limits(spec, earlier, workers=3, began=0.0, clock=lambda: clock[0])
        assert limits.reached() is None
        left = 3600.0 * (10 - 2 * 2) / (2 * 3)
        clock[0] = left - 1
        assert limits.reached() is None
        clock[0] = left + 1
        assert limits.reached() == "limits.cost (10) is reached"

    def test_a_cost_needs_a_price(self):
        with pytest.raises(SpecError, match=r"limits.cost: needs scaling.price_per_worker_hour"):
            tiny_spec("limits.cost=10")
        with pytest.raises(SpecError, match=r"above 0"):
            tiny_spec("limits.cost=10", "scaling.price_per_worker_hour=0")
