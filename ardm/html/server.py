"""A small server of the pages of a store: read-only, for this machine alone unless asked.

It is aiohttp's, which ardm uses for its other connections, too.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from plotly.offline import get_plotlyjs

from ardm.analysis.overview import overview
from ardm.errors import ArdmError, InputError, NotFound
from ardm.html import pages
from ardm.html.collect import Collected, collect
from ardm.html.pages import Served
from ardm.store.run_directory import Run
from ardm.store.store import Store

REFRESH = 15
"""Seconds after which a browser loads a page of a run that trains anew."""

KEPT = 5.0
"""Seconds for which a run that was read is not read again, however many browsers ask."""

MOST_COMPARED = 12
"""Largest number of runs in a comparison."""

_LIVE = ("queued", "starting", "training", "saving", "draining", "recovering")
_PLOTLY = "/plotly.js"
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Kept(NamedTuple):
    read: float
    collected: Collected


class Pages:
    """The pages of a store.

    Args:
        store: the store.
        names: host names that requests may name; None permits all. Without this check a website
            could read the server through a name that resolves to 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, store: Store, names: set[str] | None) -> None:
        self._store, self._names = store, names
        self._kept: dict[str, _Kept] = {}
        self._script = get_plotlyjs().encode()

    def app(self) -> web.Application:
        """The application, which answers GET and HEAD alone."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._overview)
        app.router.add_get("/run/{name}", self._run)
        app.router.add_get("/compare", self._compare)
        app.router.add_get(_PLOTLY, self._plotly)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._names is not None and _host(request.host) not in self._names:
            return web.Response(status=403, text=f"{request.host} is not a name of this server\n")
        try:
            answer = await handler(request)
        except NotFound as error:
            answer = web.Response(status=404, text=f"{error}\n")
        except InputError as error:
            answer = web.Response(status=400, text=f"{error}\n")
        except ArdmError as error:
            answer = web.Response(status=503, text=f"{error}\n")
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["X-Frame-Options"] = "DENY"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    async def _overview(self, request: web.Request) -> web.Response:
        found = await asyncio.to_thread(overview, self._store)
        return _html(pages.overview_page(found, self._store.uri, Served(_PLOTLY, REFRESH)))

    async def _run(self, request: web.Request) -> web.Response:
        one = await asyncio.to_thread(self._collected, request.match_info["name"])
        refresh = REFRESH if one.status["state"] in _LIVE else None
        return _html(pages.run_page(one, Served(_PLOTLY, refresh)))

    async def _compare(self, request: web.Request) -> web.Response:
        names = list(dict.fromkeys(request.query.getall("run", [])))
        if not 2 <= len(names) <= MOST_COMPARED:
            raise InputError(f"choose 2 to {MOST_COMPARED} runs to compare, got {len(names)}")
        runs = [await asyncio.to_thread(self._collected, name) for name in names]
        live = any(one.status["state"] in _LIVE for one in runs)
        return _html(pages.comparison_page(runs, Served(_PLOTLY, REFRESH if live else None)))

    async def _plotly(self, request: web.Request) -> web.Response:
        headers = {"Cache-Control": "max-age=86400"}
        return web.Response(body=self._script, content_type="text/javascript", headers=headers)

    def _collected(self, name: str) -> Collected:
        kept = self._kept.get(name)
        if kept is None or time.monotonic() - kept.read > KEPT:
            kept = _Kept(time.monotonic(), collect(Run(self._store, name)))
            # Others that are out of date are forgotten, since a run takes some megabytes.
            fresh = {n: k for n, k in self._kept.items() if kept.read - k.read <= KEPT}
            self._kept = fresh | {name: kept}
        return kept.collected


def serve(store: Store, host: str, port: int, report: Callable[[str], None]) -> None:
    """Serve the pages of a store until the process is interrupted.

    Args:
        store: the store.
        host: address to listen on.
        port: port to listen on; 0 for any.
        report: called with the address once the server listens.

    Raises:
        InputError: nothing can listen there.
    """
    names = _LOCAL_NAMES | {_in_url(host)} if _is_loopback(host) else None

    async def run() -> None:
        runner = web.AppRunner(Pages(store, names).app(), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                reason = error.strerror or error
                raise InputError(
                    f"nothing can listen on {host}:{port} ({reason}); name another with --port"
                ) from error
            *_, bound = runner.addresses[0][:2]
            report(f"http://{_in_url(host)}:{bound}")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    asyncio.run(run())


def _is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _in_url(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host.lower()


def _host(header: str) -> str:
    """The name in a Host header, without the port."""
    header = header.lower()
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].removesuffix(".")


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")
