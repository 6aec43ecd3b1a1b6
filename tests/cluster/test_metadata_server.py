"""The watch over Google's metadata server, against a real HTTP server and without sleeping."""

import logging
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ardm.cluster import node_agent
from ardm.cluster.node_agent import Absent, Value, read, wait_for_notice
from tests.cluster.google_metadata import Metadata, serving


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    with serving() as server:
        monkeypatch.setenv("GCE_METADATA_HOST", server.host)
        yield server


class Script:
    """Answers in turn; time passes only in sleeps."""

    def __init__(self, *answers: Value | OSError) -> None:
        self._answers = list(answers)
        self.etags: list[str] = []
        self.slept: list[float] = []

    def read(self, key: str, etag: str) -> Value:
        self.etags.append(etag)
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def wait(self, key: str = "preempted", *, google: bool = False) -> str:
        clock = partial(sum, self.slept)
        return wait_for_notice(key, self.read, self.slept.append, clock, lambda: google)


NO, YES = Value("FALSE", "a"), Value("TRUE", "b")


def test_read_answers_at_once_what_it_has_not_told_yet(metadata: Metadata) -> None:
    assert read("preempted", "none yet") == Value("FALSE", "0")


def test_read_waits_for_a_change(metadata: Metadata) -> None:
    answers: list[Value] = []
    thread = threading.Thread(target=lambda: answers.append(read("preempted", "0")))
    thread.start()
    while not metadata.questions:
        thread.join(0.01)
    assert not answers
    metadata.set("preempted", "TRUE")
    thread.join(5)
    assert answers == [Value("TRUE", "1")]


def test_read_is_told_of_a_change_that_came_between_two_questions(metadata: Metadata) -> None:
    first = read("preempted", "none yet")
    metadata.set("preempted", "TRUE")
    assert read("preempted", first.etag).text == "TRUE"


def test_read_ends_with_the_old_value_when_nothing_changes(metadata: Metadata) -> None:
    assert read("preempted", "0", hold=0) == Value("FALSE", "0")


def test_read_does_not_go_through_a_proxy(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert read("preempted", "none yet").text == "FALSE"


def test_error_of_the_server_is_no_absence(metadata: Metadata) -> None:
    metadata.failing = 503
    with pytest.raises(OSError, match="503") as caught:
        read("preempted", "none yet")
    assert not isinstance(caught.value, Absent)


def test_nobody_there_is_an_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound_only:
        bound_only.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{bound_only.getsockname()[1]}")
        with pytest.raises(Absent):
            read("preempted", "none yet")


@pytest.mark.parametrize(
    ("reason", "absent"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (ConnectionRefusedError(), True),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_only_a_definite_answer_is_an_absence(reason: OSError, absent: bool) -> None:
    assert node_agent.is_definite(reason) is absent


def test_silent_server_is_given_up_long_before_a_machine_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert node_agent.HOLD + node_agent.MARGIN <= 10
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(node_agent, "MARGIN", 0.1)
        with pytest.raises(TimeoutError):
            read("preempted", "none yet", hold=0)


def test_garbage_is_an_error_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.getsockname()[1]}")

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-no HTTP at all\r\n")

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(OSError, match="BadStatusLine") as caught:
            read("preempted", "none yet")
        assert not isinstance(caught.value, Absent)


def test_default_host_is_googles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    assert node_agent.host() == "metadata.google.internal"


def test_notice_is_returned() -> None:
    assert Script(NO, YES).wait() == "preempted is TRUE"


def test_notice_that_stands_from_the_start_is_returned_at_once() -> None:
    script = Script(YES)
    script.wait()
    assert script.slept == []


@pytest.mark.parametrize("value", ["NONE", "MIGRATE_ON_HOST_MAINTENANCE"])
def test_maintenance_that_the_machine_survives_is_no_notice(value: str) -> None:
    end = Value("TERMINATE_ON_HOST_MAINTENANCE", "b")
    script = Script(Value(value, "a"), end)
    assert script.wait("maintenance-event").endswith(end.text)
    assert len(script.etags) == 2


def test_each_question_names_the_last_value() -> None:
    script = Script(NO, OSError("503"), YES)
    script.wait()
    assert script.etags[1:] == ["a", "a"]
    assert script.etags[0] not in ("a", "b")


def test_server_that_does_not_wait_is_not_asked_without_pause() -> None:
    script = Script(NO, NO, NO, YES)
    script.wait()
    assert script.slept == [node_agent.SHORTEST] * 3


def test_pauses_double_while_the_server_fails_and_begin_anew_after_an_answer() -> None:
    failures = [OSError("503")] * 8
    script = Script(*failures, NO, OSError("timed out"), YES)
    script.wait()
    assert script.slept[:8] == [1, 2, 4, 4, 4, 4, 4, 4]
    assert script.slept[9] == 1


def test_absence_is_told_once_and_asked_about_slowly(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(*[Absent("Name or service not known")] * 3, YES)
    with caplog.at_level(logging.INFO):
        script.wait()
    told = [r.message for r in caplog.records if "SIGTERM alone" in r.message]
    assert len(told) == 1
    assert set(script.slept) == {node_agent.LONGEST_ABSENT}


def test_server_that_has_answered_or_must_be_there_is_soon_asked_again() -> None:
    absences = [Absent("Name or service not known")] * 5
    answered, on_google = Script(NO, *absences, YES), Script(*absences, YES)
    answered.wait()
    on_google.wait(google=True)
    assert on_google.slept == [1, 2, 4, 4, 4]
    assert answered.slept[1:] == on_google.slept


@pytest.mark.parametrize(
    ("product", "known"),
    [("Google Compute Engine\n", True), ("Standard PC\n", False), (None, False)],
)
def test_machine_of_google_is_known_by_its_product_name(
    product: str | None, known: bool, tmp_path: Path
) -> None:
    file = tmp_path / "product_name"
    if product is not None:
        file.write_text(product)
    assert node_agent.expected(file) is known
