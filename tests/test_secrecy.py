"""Passwords and keys appear in no message, no log, no record and no page."""

import io
import json
import logging
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm import secrecy
from ardm.cluster import job_server
from ardm.doctor import ray_jobs, stores
from ardm.doctor.check import Check
from ardm.errors import InputError, SpecError, in_a_line
from ardm.html.collect import collect
from ardm.html.pages import run_page
from ardm.job.spec import parse
from ardm.runner import context
from ardm.secrecy import without_secrets
from ardm.store import registry
from ardm.store.store import Store
from ardm.trackers import choose

WORD = "Sesame-open-17"

PASTED = json.dumps({"type": "service_account", "private_key": WORD, "client_id": "1"}, indent=1)


@pytest.mark.parametrize(
    "text",
    [
        f"http://ann:{WORD}@host:5000/api",
        f"https://{WORD}@github.com/a/b",
        f"ftp://ann:pass@{WORD}@host/x",
        f"(mongodb+srv://ann:{WORD}@host)",
        f"https://host/a?x=1&sig={WORD}&y=2",
        f"https://host/a?X-Amz-Signature={WORD}",
        f"https://host/a?X-Goog-Credential={WORD}&a=b",
        f"https://host/a?api_key={WORD}",
        f"get https://host/a?token={WORD} twice: https://b:{WORD}@c",
    ],
)
def test_what_lets_one_in_is_masked_and_the_rest_stays(text):
    masked = without_secrets(text)
    assert WORD not in masked
    assert secrecy.MASK in masked
    assert ("host" in masked) == ("host" in text)
    assert without_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "gs://bucket/a@b",
        "/home/a@b/runs",
        "mail a@b.org about http://host:8265",
        "https://host/a?step=3&split=test",
        "{} and {'a': 1}",
    ],
)
def test_what_holds_no_secret_stays(text):
    assert without_secrets(text) == text


@given(st.text(alphabet=st.characters(exclude_characters="@/?&;=:'\"<>", exclude_categories=["C"])))
def test_no_text_without_an_address_changes(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", WORD),
        ("WANDB_API_KEY", WORD),
        ("MLFLOW_TRACKING_PASSWORD", WORD),
        ("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=a;AccountKey={WORD}"),
        ("GOOGLE_APPLICATION_CREDENTIALS", PASTED),
    ],
)
def test_the_value_of_a_secret_variable_is_masked_wherever_it_appears(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert WORD not in without_secrets(f"cannot log in with {value}!")
    assert WORD not in str(InputError(f"received {value}"))
    assert WORD not in in_a_line(OSError(f"no file {value.splitlines()[-3:][0]}"))


def test_errors_logs_and_records_pass_through_the_mask():
    address = f"http://ann:{WORD}@host"
    assert str(InputError(f"no answer from {address}")) == "no answer from http://***@host"
    ended = context.of_error(OSError(f"no answer from {address}"), 3, 1)
    assert WORD not in ended.reason + ended.detail
    written = io.StringIO()
    handler = secrecy.log_to(logging.StreamHandler(written))
    try:
        raise OSError(address)
    except OSError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "lost %s", (address,), sys.exc_info()
        )
    handler.emit(record)
    assert "lost http://***@host" in written.getvalue()
    assert "Traceback" in written.getvalue()
    assert WORD not in written.getvalue()
    assert WORD not in repr(Check("x", ok=False, finding=address, remedy=address).without_secrets())


def test_a_job_whose_data_need_a_password_is_refused_without_showing_it():
    with pytest.raises(SpecError, match=r"data\.path: expected an address without cred") as caught:
        parse(_job(f"s3://key:{WORD}@bucket/folder"), "job.yaml")
    assert WORD not in str(caught.value)


def test_the_name_of_a_user_is_no_secret_of_a_job():
    spec = parse(_job("sftp://ann@host/folder"), "job.yaml")
    assert spec.data.path == "sftp://ann@host/folder"


def test_a_run_of_an_earlier_version_goes_on_and_shows_no_password(tmp_path):
    plain = parse(_job("s3://bucket/folder"), "job.yaml")
    run = registry.open_new_run(Store(str(tmp_path)), plain, datetime.now(UTC))
    file = tmp_path / run.name / "job.yaml"
    file.write_text(file.read_text().replace("s3://bucket", f"s3://key:{WORD}@bucket"))
    spec = registry.read_spec(run)
    assert spec.data.path == f"s3://key:{WORD}@bucket/folder"
    assert WORD not in json.dumps(spec.copy_for_records())
    assert WORD not in repr(choose.about(run, spec))
    assert WORD not in run_page(collect(run))


def test_the_address_of_ray_holds_no_password(tmp_path):
    with pytest.raises(InputError, match="holds credentials") as caught:
        job_server.named(f"http://ann:{WORD}@host:8265")
    assert WORD not in str(caught.value)
    (check,) = ray_jobs.ray(f"http://ann:{WORD}@host:8265")
    assert not check.ok
    assert WORD not in repr(check)


def test_the_doctor_shows_no_pasted_account(monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", PASTED)
    found = stores.store("gs://some-bucket/runs")
    checks = {check.name: check for check in (next(found), next(found))}
    found.close()
    assert not checks["credentials"].ok
    assert WORD not in repr(checks)


def _job(path: str) -> str:
    data = f"{{dataset: text, source: files, path: '{path}', alphabet: bytes}}"
    return f"job: a\ndata: {data}\nmodel: {{net: {{kind: transformer}}}}"
