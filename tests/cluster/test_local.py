"""The token and the state of the local Ray, without one running."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name

import psutil
import pytest

from ardm.cluster import access, local


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_token_is_random_kept_and_its_owner_s_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = os.umask(0)
    try:
        file = access.token_file()
    finally:
        os.umask(mask)
    first = file.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert access.token_file().read_text() == first
    assert access.headers() == {"Authorization": f"Bearer {first}"}
    assert [f.name for f in file.parent.iterdir()] == [file.name]
    monkeypatch.setenv("ARDM_HOME", str(tmp_path / "other"))
    assert access.token_file().read_text() != first


def test_processes_that_start_together_agree_on_a_token(home: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda _: access.headers()["Authorization"], range(64))
    assert len(set(found)) == 1


def test_an_empty_token_file_is_replaced_and_an_open_one_is_closed(home: Path) -> None:
    file = access.token_file()
    file.write_text("")
    file.chmod(0o644)
    assert access.token_file().read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_our_ray_gets_no_secret_of_the_shell_and_no_other_token(home: Path) -> None:
    shell = {
        "PATH": "/bin",
        "ARDM_HOME": str(home),
        "AWS_SECRET_ACCESS_KEY": "secret",
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN": "another",
        "RAY_AUTH_TOKEN_PATH": "/another",
        "RAY_ADDRESS": "http://another:8265",
    }
    got = local.variables(shell)
    assert got["PATH"] == "/bin"
    assert got["ARDM_HOME"] == str(home)
    assert got["RAY_AUTH_MODE"] == "token"
    assert not {"AWS_SECRET_ACCESS_KEY", "RAY_ADDRESS"} & got.keys()
    assert not {"another", "/another"} & set(got.values())
    assert access.token_file().read_text() not in got.values()


def test_the_function_that_ray_start_calls_is_there() -> None:
    package, _, function = access.ENVIRONMENT["RAY_START_HOOK"].rpartition(".")
    assert resolve_name(f"{package}:{function}") is access.configure


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open(sys.argv[1], "a").write(f"{self.path} {self.headers['Authorization']}\\n")
        self.send_response(200); self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def test_another_server_at_the_address_of_our_ray_is_not_asked(home: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen(
            [sys.executable, "-c", SERVER, str(heard)], stdout=subprocess.PIPE, text=True
        ) as server,
        subprocess.Popen(sleep) as ray,
    ):
        assert server.stdout
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        home.mkdir()

        def note(pid: int) -> None:
            created = psutil.Process(pid).create_time()
            noted = local.LocalRay(address, pid, created, str(tmp_path / "ardm-ray"))
            (home / "ray.json").write_text(json.dumps(asdict(noted)))

        assert local.find() is None
        note(ray.pid)
        assert local.find() is None
        assert not heard.exists()
        note(server.pid)
        assert local.find() == address
        assert heard.read_text() == f"/api/version {access.headers()['Authorization']}\n"
        server.kill()
        ray.kill()


def test_what_is_left_of_a_ray_that_was_killed_is_removed(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ardm-ray"
    (folder / "r").mkdir(parents=True)
    home.mkdir()
    gone = local.LocalRay("http://127.0.0.1:1", 2**22 + 1, 0.0, str(folder))
    (home / "ray.json").write_text(json.dumps(asdict(gone)))
    assert local.stop() is None
    assert not folder.exists()
