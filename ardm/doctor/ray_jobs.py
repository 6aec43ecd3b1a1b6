"""Checks of Ray: the job server that would run a submission, the ports, proxies."""

import os
import urllib.error
from importlib.metadata import version
from pathlib import Path

from ardm.cluster import access, job_server, local, ports
from ardm.doctor.check import Check, Checks
from ardm.errors import InputError, in_a_line

_PORTS = {local.PORT: "Ray's dashboard and job server", 6379: "Ray's head"}


def ray(address: str | None) -> Checks:
    """The Ray at an address, or the local one.

    Args:
        address: address of a job server, as in RAY_ADDRESS; None for the local Ray.
    """
    own = version("ray")
    try:
        server = job_server.named(address)
    except InputError as error:
        yield Check("ray", ok=False, finding=str(error), remedy="correct or unset RAY_ADDRESS")
        return
    if server is None:
        running = local.find()
        if running is None:
            finding = f"Ray {own} is installed; no local Ray runs"
            yield Check("ray", ok=True, finding=f"{finding}, and a submission starts one")
            return
        yield _running(running, own, "`ardm down` stops it, and a submission starts another")
        return
    yield _running(server.address, own, "use the same version on both sides")


def _running(address: str, own: str, remedy: str) -> Check:
    headers = access.headers() if local.is_ours(address) else _own_headers()
    try:
        there = ports.version(address, headers)
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            return Check(
                "ray",
                ok=False,
                finding=f"no Ray job server answers at {address} ({in_a_line(error)})",
                remedy="give the address of a running one, or none for a local Ray",
            )
        return Check(
            "ray",
            ok=False,
            finding=f"the Ray at {address} asks for a token, and got none that it knows",
            remedy="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with its token",
        )
    except (OSError, ValueError) as error:
        return Check(
            "ray",
            ok=False,
            finding=f"no Ray job server answers at {address} ({in_a_line(error)})",
            remedy="give the address of a running one, or none for a local Ray",
        )
    same = there == own
    finding = f"Ray {there} runs at {address}" + ("" if same else f", but {own} is installed here")
    return Check("ray", same, finding, "" if same else remedy)


def _own_headers() -> dict[str, str] | None:
    """The header with the user's own token, which Ray's client would send."""
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    file = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not token and file and Path(file).is_file():
        token = Path(file).read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else None


def listening() -> Checks:
    """Ray's usual ports: taken ones are no fault, since the local Ray chooses others."""
    own = local.ours()
    ours = ports.ports_of(own.pid) if own else set()
    for port, what in _PORTS.items():
        if port in ours:
            finding = f"{port} ({what}): the local Ray that ardm started"
        elif ports.is_taken(port):
            finding = f"{port} ({what}): another program; the local Ray will choose another port"
        else:
            finding = f"{port} ({what}) is free"
        yield Check("ports", ok=True, finding=finding)


def proxies() -> Checks:
    """Proxies that the environment names."""
    names = sorted(n for n in os.environ if n.lower() in ("http_proxy", "https_proxy", "all_proxy"))
    if names:
        finding = f"{', '.join(names)}: used for stores, never for addresses of this machine"
    else:
        finding = "none"
    yield Check("proxies", ok=True, finding=finding)
