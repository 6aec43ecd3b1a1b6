"""Ports of this machine: finding free ones, and checking which process or server listens."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import psutil

from ardm.cluster import access
from ardm.errors import JobFailed


def free_ports(*wanted: int) -> list[int]:
    """The wanted ports, or other free ones in the place of those taken; no port is given twice."""
    with ExitStack() as sockets:
        return [int(sockets.enter_context(_bound(port)).getsockname()[1]) for port in wanted]


def _bound(wanted: int) -> socket.socket:
    for port in (wanted, 0):
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.close()
            continue
        return probe
    raise JobFailed("no free port on this machine")


def is_taken(port: int) -> bool:
    """Whether any process listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((access.ADDRESS, port)) == 0


def ports_of(pid: int) -> set[int]:
    """The ports on which a process and its descendants listen."""
    ports: set[int] = set()
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                ports |= {
                    connection.laddr.port
                    for connection in process.net_connections("tcp")
                    if connection.status == psutil.CONN_LISTEN
                }
    return ports


def is_here(address: str) -> bool:
    """Whether an address is on the loopback interface."""
    return urllib.parse.urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")


def answers(address: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether a job server answers at an address.

    Args:
        address: address of the job server.
        headers: headers with our token, which the server must accept. Without headers, a server
            that asks for a token counts as well.
    """
    try:
        _ask(address, headers)
    except urllib.error.HTTPError as error:
        return headers is None and error.code in (401, 403)
    except (OSError, ValueError):
        return False
    return True


def version(address: str, headers: Mapping[str, str] | None = None) -> str:
    """The version of the Ray whose job server answers at an address.

    Raises:
        OSError: nothing answers, or it refuses the token.
        ValueError: something else answers.
    """
    answer = json.loads(_ask(address, headers))
    if not isinstance(answer, dict) or "ray_version" not in answer:
        raise ValueError(f"no Ray answers at {address}")
    return str(answer["ray_version"])


def _ask(address: str, headers: Mapping[str, str] | None) -> bytes:
    # A proxy must not see a token, and its loopback interface is another one.
    proxies = urllib.request.ProxyHandler({} if is_here(address) else None)
    request = urllib.request.Request(f"{address}/api/version", headers=dict(headers or {}))
    with urllib.request.build_opener(proxies).open(request, timeout=5) as reply:
        content: bytes = reply.read()
    return content
