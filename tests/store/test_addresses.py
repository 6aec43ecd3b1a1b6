import doctest
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ardm.cli.main import app
from ardm.errors import InputError
from ardm.store import addresses
from ardm.store.addresses import normal_form
from ardm.store.store import Store

HERE = str(Path.cwd())


def test_the_examples_of_the_docstrings_hold():
    failed, tried = doctest.testmod(addresses)
    assert (failed, tried) == (0, 2)


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("runs", f"{HERE}/runs"),
        ("./runs/../x/", f"{HERE}/x"),
        ("/srv//runs/", "/srv/runs"),
        ("~/runs", f"{Path.home()}/runs"),
        ("./gs:", f"{HERE}/gs:"),
        ("a:b", f"{HERE}/a:b"),
        ("My Drive/[1] & co; $x 'y' \"z\" #?*", f"{HERE}/My Drive/[1] & co; $x 'y' \"z\" #?*"),
        ("file:///srv/runs", "/srv/runs"),
        ("file:/srv/runs", "/srv/runs"),
        ("FILE://localhost/srv/runs", "/srv/runs"),
        ("file:///srv/a%20b#c?d", "/srv/a b#c?d"),
        ("gs://bucket", "gs://bucket"),
        ("gs://bucket/", "gs://bucket"),
        ("gcs://bucket//a///b/", "gs://bucket/a/b"),
        ("GS://bucket/A b", "gs://bucket/A b"),
    ],
)
def test_every_spelling_has_one_normal_form(address, normal):
    assert normal_form(address) == normal
    assert normal_form(normal) == normal


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("a\nb", "cannot be printed"),
        ("a\0b", "cannot be printed"),
        ("/", "root of all files"),
        ("//", "root of all files"),
        ("/srv/..", "root of all files"),
        ("file:///", "root of all files"),
        ("file://server/x", "on another machine (server)"),
        ("~nosuchuser/x", "home directory of that user"),
        ("memory://x", "memory:// can hold no runs"),
        ("https://x/y", "https:// can hold no runs"),
        ("nosuch://x/y", "nosuch:// can hold no runs"),
        ("simplecache::gs://b/x", "can hold no runs"),
        ("gs://", "names no bucket"),
        ("gs:///runs", "names no bucket"),
        ("gs:/bucket/x", "an address begins with gs://"),
        ("gs:bucket", "an address begins with gs://"),
        ("s3:bucket", "an address begins with s3://"),
        ("file:x", "an address begins with file://"),
        ("gs://${BUCKET}/x", "is not the name of a bucket"),
        ("gs://Bucket/x", "is not the name of a bucket"),
        ("gs://b", "is not the name of a bucket"),
        ("gs://bucket/../x", "write the whole prefix"),
        ("gs://bucket/[x]", "'[' is taken for a pattern"),
        ("gs://bucket/x#1", "'#' is taken for a pattern"),
        ("gs://key:secret@bucket/x", "must not hold credentials"),
    ],
)
def test_what_can_hold_no_runs_is_refused_with_the_reason(address, reason, tmp_path, monkeypatch):
    with pytest.raises(InputError) as caught:
        normal_form(address)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    monkeypatch.chdir(tmp_path)
    job = Path(__file__).parents[2] / "jobs" / "smoke.yaml"
    for command in (["train", str(job)], ["submit", str(job)], ["runs"], ["status"], ["pull"]):
        done = CliRunner().invoke(app, [*command, "--store", address])
        assert done.exit_code == 2, (command, done.output)
        assert reason in " ".join(done.stderr.replace("\n", " ").split())
    assert list(tmp_path.iterdir()) == []


@given(st.text() | st.from_regex(r"(gs|s3|file|memory|~|/)?:?/{0,3}[\w .@#?\[\]~/-]*"))
def test_every_text_has_a_normal_form_or_is_refused(address):
    try:
        normal = normal_form(address)
    except InputError:
        return
    assert normal_form(normal) == normal
    assert normal.startswith(("/", "gs://"))
    assert not normal.endswith("/")


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError):
        Store(str(tmp_path / "a" / "x")).check()
