"""Access to a local Ray: it listens on this machine only, and asks for a token."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ardm.cluster import shell_variables
from ardm.store.home import private_folder

ADDRESS = "127.0.0.1"

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_START_HOOK": f"{__name__}.configure",
}
"""Environment variables of `ray start` and of all processes that it starts."""


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that keep connections to this machine away from a proxy.

    Args:
        environ: the current environment variables.
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environ):
        return {}
    before = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in before.split(",") if host.strip()]
    hosts += [host for host in ("localhost", ADDRESS, "::1") if host not in hosts]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


def configure(params: Any, head: bool) -> None:
    """Change the options of `ray start`, which calls this hook before it starts anything.

    Args:
        params: Ray's `RayParams`.
        head: whether this node is the head node; tests and `ardm chaos` start others.
    """
    from ardm.cluster._ray import ray_constants, services

    params.node_ip_address = ADDRESS
    params.ray_client_server_port = None  # nobody uses it, and it is a process of its own
    if not head:
        # Ray would refuse to join, or look for the head at this machine's external address.
        ray_constants.ENABLE_RAY_CLUSTER = True
        services.resolve_ip_for_localhost = lambda host: host


def token_file() -> Path:
    """The file that holds the token; the first call creates it."""
    file = private_folder("ray") / "token"
    if not file.is_file() or not file.read_text().strip():
        _create(file)
    file.chmod(0o600)
    return file


def settings() -> dict[str, str]:
    """The environment variables with which Ray (2.60) asks for our token, or sends it.

    An empty `RAY_AUTH_TOKEN` hides a token of the user's own, which Ray would prefer.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file()),
        "RAY_AUTH_TOKEN": "",
    }


def headers() -> dict[str, str]:
    """The headers of an HTTP request to a Ray that ardm started."""
    return {"Authorization": f"Bearer {token_file().read_text().strip()}"}


@contextmanager
def in_this_process() -> Iterator[None]:
    """Let Ray's clients in this process and its children send our token while the block runs."""
    try:
        with shell_variables.during(settings()):
            _read_again()
            yield
    finally:
        _read_again()


def _read_again() -> None:
    """Make Ray (2.60) read the variables again, which it otherwise does only when imported."""
    from ardm.cluster._ray import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def _create(file: Path) -> None:
    """Write a new token, unless another process has just done so."""
    new = file.with_name(f"{file.name}-{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(secrets.token_hex(32))
        out.flush()
        os.fsync(out.fileno())
    try:
        if file.exists() and not file.read_text().strip():
            file.unlink()  # a power cut can leave an empty file
        os.link(new, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not file.exists():
            new.rename(file)
    finally:
        new.unlink(missing_ok=True)
