"""The server of pages: what it shows, to whom, and that it changes nothing."""

import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ardm.html import pages, server
from ardm.store.store import Store
from tests.cli.conftest import Here
from tests.html.browser import browse, needs_browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(store):
    """A server of the store, on a thread."""
    return serving_at(store, "127.0.0.1")


def serving_at(store, host):
    found, ready = [], threading.Event()

    def report(url):
        found.append(url)
        ready.set()

    serving = threading.Thread(
        target=server.serve, args=(Store(store), host, 0, report), daemon=True
    )
    serving.start()
    assert ready.wait(30)
    return found[0]


def get(url, method="GET", host=None):
    request = urllib.request.Request(url, method=method, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_the_server_shows_all_runs_and_each_of_them(address):
    status, text, headers = get(address)
    assert status == 200
    assert 'href="/run/killed"' in text
    assert 'http-equiv="refresh"' in text
    assert headers["X-Frame-Options"] == "DENY"
    status, text, _ = get(f"{address}/run/killed")
    assert status == 200
    assert 'src="/plotly.js"' in text
    assert 'http-equiv="refresh"' not in text  # it has ended
    assert len(text) < 1_000_000
    assert get(f"{address}/compare?run=killed&run=other")[0] == 200
    assert get(f"{address}/plotly.js")[1] == pages.get_plotlyjs()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/run/none", 404),
        ("/run/..%2f..%2fetc", 400),
        ("/run/../../etc/passwd", 404),
        ("/compare?run=killed", 400),
        ("/compare?run=killed&run=none", 404),
        ("/elsewhere", 404),
    ],
)
def test_the_server_says_what_is_wrong(address, path, status):
    assert get(address + path)[0] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_the_server_changes_nothing(address, method):
    assert get(f"{address}/run/killed", method)[0] == 405


def test_a_page_of_somebody_else_cannot_read_the_server_by_another_name(address):
    assert get(address, host="evil.example")[0] == 403
    assert get(address, host="LOCALHOST:1")[0] == 200
    assert get(address, host="localhost.")[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "::1"])
def test_every_address_of_this_machine_alone_is_guarded(store, host):
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    address = serving_at(store, host)
    assert get(f"{address}/")[0] == 200
    assert get(f"{address}/", host="evil.example")[0] == 403


@needs_browser
def test_a_browser_shows_what_is_served(address):
    for path in ("/", "/run/killed", "/compare?run=killed&run=other"):
        said, dom = browse(address + path)
        assert "CONSOLE" not in said
        if path != "/":
            assert "main-svg" in dom


def test_a_port_that_is_taken_is_an_error(address, store):
    port = address.rpartition(":")[2]
    said = Here(store)("serve", "--port", port, code=2).stderr
    assert f"nothing can listen on 127.0.0.1:{port}" in said
