"""`ardm doctor` on real stores, servers and machines, sound and faulty ones."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ardm.cli.main import app
from ardm.doctor import cluster_file, machine, ray_jobs, stores
from ardm.doctor.check import guarded
from tests import clouds, drive

ARDM = Path(sys.executable).with_name("ardm")
CLUSTER = Path(__file__).parents[2] / "cluster.yaml"
ABILITIES = ["write", "read", "exclusive create", "listing", "clock", "delete"]

needs_drive = pytest.mark.skipif(drive.why_not() is not None, reason=str(drive.why_not()))


def faults(checks):
    return [check for check in checks if not check.ok]


def named(checks, name):
    (one,) = [check for check in checks if check.name == name]
    return one


def test_a_sound_directory_has_every_ability_and_stays_empty(tmp_path):
    found = list(stores.store(str(tmp_path / "runs")))
    assert faults(found) == []
    names = [check.name for check in found]
    expected = ["permissions", "space", *ABILITIES, "renames", "arrays"]
    assert names == ["store", *(f"store: {n}" for n in expected if n != "permissions")]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_has_runs_keeps_them(tmp_path):
    (tmp_path / "run").mkdir()
    assert faults(stores.store(str(tmp_path))) == []
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_bucket_has_every_ability(bucket):
    found = list(stores.store(f"{bucket}/runs"))
    assert faults(found) == []
    assert [check.name for check in found] == [
        "store",
        "credentials",
        *(f"store: {name}" for name in ABILITIES),
    ]
    assert "Google Cloud Storage, redirected by STORAGE_EMULATOR_HOST" in found[0].finding


def test_a_bucket_that_does_not_exist_is_a_fault(emulator):
    fault = faults(stores.store("gs://no-such-bucket/runs"))[0]
    assert fault.name == "store: write"
    assert "bucket" in fault.remedy


@pytest.mark.parametrize("uri", ["gs://", "memory://x", "/"])
def test_an_address_that_can_hold_no_runs_is_a_fault(uri):
    (fault,) = faults(stores.store(uri))
    assert fault.name == "store"
    assert fault.remedy == "name another with --store"


def test_a_folder_below_a_file_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    assert faults(stores.store(str(tmp_path / "file" / "runs")))


@needs_drive
@pytest.mark.slow
def test_what_a_mounted_drive_lacks_is_said_but_is_no_fault(tmp_path):
    with drive.mounted(tmp_path / "cloud", tmp_path / "My Drive", "--lag", "0.2") as mount:
        found = list(stores.store(str(mount / "runs")))
    assert faults(found) == []
    assert "fuse" in named(found, "store").finding
    assert "no hard links" in named(found, "store: renames").finding
    assert named(found, "store: listing").finding.startswith("listings lag by about 0.")
    assert named(found, "store: listing").remedy.startswith("start runs there from one machine")


def test_no_secret_is_printed(monkeypatch):
    with clouds.serve("s3"):
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        found = list(stores.store(f"{clouds.make_bucket('s3')}/runs"))
        assert faults(found) == []
        assert named(found, "credentials").finding == "from AWS_ACCESS_KEY_ID"
        assert secret not in repr(found)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret-word@proxy:1")
    assert "secret-word" not in repr(list(ray_jobs.proxies()))
    (fault,) = stores.store("s3://key:secret-word@bucket/runs")
    assert "secret-word" not in repr(fault)


def test_clocks_that_differ_are_a_fault(tmp_path, monkeypatch):
    now = stores.time.time()
    # The clock of a machine cannot be set in a test.
    monkeypatch.setattr(stores.time, "time", lambda: now - 3600)
    (fault,) = faults(stores.store(str(tmp_path)))
    assert fault.name == "store: clock"
    assert "3600 s ahead of this machine's" in fault.finding
    assert "NTP" in fault.remedy


@contextmanager
def answering(code, content):
    """A server that answers every request in one way; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("code", "content", "finding"),
    [
        (200, b'{"ray_version": "1.0.0"}', "Ray 1.0.0 runs at"),
        (200, b'{"ray_version": 3', "no Ray job server answers"),
        (200, b"[]", "no Ray job server answers"),
        (401, b"", "asks for a token"),
        (500, b"", "no Ray job server answers"),
    ],
)
def test_a_ray_that_cannot_be_used_is_a_fault(code, content, finding):
    with answering(code, content) as address:
        (check,) = ray_jobs.ray(address)
    assert not check.ok
    assert finding in check.finding
    assert check.remedy


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "head:6379"])
def test_an_address_of_no_job_server_is_a_fault(address):
    (check,) = ray_jobs.ray(address)
    assert not check.ok
    assert "http://" in check.finding


def test_the_file_of_a_cluster_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(cluster_file.cluster_file(None)) == []
    (absent,) = cluster_file.cluster_file(Path("x.yaml"))
    assert not absent.ok
    shutil.copy(CLUSTER, "cluster.yaml")
    (template,) = cluster_file.cluster_file(None)
    assert template.ok
    assert "edit the lines marked EDIT" in template.remedy
    (named_template,) = cluster_file.cluster_file(Path("cluster.yaml"))
    assert not named_template.ok
    Path("mine.yaml").write_text(CLUSTER.read_text().replace("YOUR-", "my-"))
    (mine,) = cluster_file.cluster_file(Path("mine.yaml"))
    assert mine == ("cluster file", True, "mine.yaml describes a cluster with GPUs", "")
    for text in ("- 3\n", "a: [\n", "available_node_types: {}\nmax_workers: some\n"):
        Path("broken.yaml").write_text(text)
        (broken,) = cluster_file.cluster_file(Path("broken.yaml"))
        assert not broken.ok
        assert broken.remedy == "correct broken.yaml"


def test_the_machine_of_the_tests_can_run_jobs(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    (python,) = machine.python()
    assert python.ok
    (jax,) = machine.jax()
    assert jax.ok
    assert "cpu" in jax.finding


def test_a_jax_that_does_not_start_is_a_fault(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "no-such-platform")
    (jax,) = machine.jax()
    assert not jax.ok
    assert "no-such-platform" in jax.finding


def test_an_unexpected_error_is_a_finding():
    def broken():
        yield machine.Check("first", ok=True, finding="as it should be")
        raise RuntimeError("one\ntwo")

    first, fault = guarded("second", broken)
    assert first.ok
    assert fault.finding == "the check failed: RuntimeError: one"


@pytest.mark.slow
def test_the_command_prints_each_check_and_ends_with_2_at_a_fault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--store", "runs", "--json"], env={})
    checks = json.loads(done.stdout)["checks"]
    assert all(set(check) == {"name", "ok", "finding", "remedy"} for check in checks)
    assert done.exit_code == (0 if all(check["ok"] for check in checks) else 2)
    assert list(tmp_path.iterdir()) == []
    bad = CliRunner().invoke(app, ["doctor", "--store", "gs://", "--address", "auto"])
    assert bad.exit_code == 2
    assert "fault" in bad.stdout
    assert "name another with --store" in " ".join(bad.stdout.split())
    assert "checks found a fault" in bad.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and `unshare`"
)
def test_a_small_shared_memory_as_in_a_container_is_a_fault(tmp_path):
    small = "mount -t tmpfs -o size=64m none /dev/shm"
    command = f'{small} && exec {ARDM} doctor --json --store "{tmp_path}"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True)
    if not done.stdout:
        pytest.skip(f"this machine permits no mounts: {done.stderr.strip()[-200:]}")
    check = next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "/dev/shm")
    assert not check["ok"]
    assert "--shm-size" in check["remedy"]
    assert done.returncode == 2
