"""Who can reach a Ray that we start: processes of this machine that have its token."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ardm.store.home import private_folder

ADDRESS = "127.0.0.1"

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_START_HOOK": f"{__name__}.configure",
}
"""Variables of `ray start` and of all that it starts."""


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which every library reaches this machine itself, and through no proxy.

    Args:
        environ: the variables that there are.
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environ):
        return {}
    before = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in before.split(",") if host.strip()]
    hosts += [host for host in ("localhost", ADDRESS, "::1") if host not in hosts]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


def configure(params: Any, head: bool) -> None:
    """Called by `ray start` with its options before it starts anything.

    Args:
        params: Ray's `RayParams`.
        head: whether this will be the head; further nodes are for tests and `ardm chaos`.
    """
    from ardm.cluster._ray import ray_constants, services

    params.node_ip_address = ADDRESS
    params.ray_client_server_port = None  # nobody uses it, and one process less has to start
    if not head:
        # Ray would refuse to join, or look for the head at the outer address.
        ray_constants.ENABLE_RAY_CLUSTER = True
        services.resolve_ip_for_localhost = lambda host: host


def token_file() -> Path:
    """The file with the token, which is created at the first call and then kept."""
    file = private_folder("ray") / "token"
    if not file.is_file() or not file.read_text().strip():
        _create(file)
    file.chmod(0o600)
    return file


def settings() -> dict[str, str]:
    """The environment variables with which Ray (2.60) asks for our token, or sends it.

    A token of the user's own (`RAY_AUTH_TOKEN`, which Ray prefers) is set aside by an empty one.
    """
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file()),
        "RAY_AUTH_TOKEN": "",
    }


def headers() -> dict[str, str]:
    """The headers of an HTTP request to a Ray of ours."""
    return {"Authorization": f"Bearer {token_file().read_text().strip()}"}


@contextmanager
def in_this_process() -> Iterator[None]:
    """Have Ray's clients in this process, and in those it starts, send our token for a while."""
    before = {name: os.environ.get(name) for name in settings()}
    os.environ.update(settings())
    _read_again()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    """Ray (2.60) reads the variables when it is imported."""
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
            file.unlink()  # an empty file, which a power cut left
        os.link(new, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not file.exists():
            new.rename(file)
    finally:
        new.unlink(missing_ok=True)
