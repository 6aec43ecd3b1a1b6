"""The command serve."""

from typing import Annotated

import typer

from ardm.cli.console import errors_as_messages, say
from ardm.cli.options import DEFAULT_STORE, StoreUri
from ardm.errors import NotFound
from ardm.store.store import Store


@errors_as_messages
def serve(
    store: StoreUri = DEFAULT_STORE,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 for any.")
    ] = 8050,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Everybody who reaches another one than 127.0.0.1 can read "
            "all runs of the store."
        ),
    ] = "127.0.0.1",
) -> None:
    """Serve pages of all runs of a store to a browser: read-only, refreshed while they train."""
    from ardm.html import server

    opened = Store(store)
    if not opened.is_there():
        raise NotFound(f"there is no store at {opened.uri}; name one with --store or ARDM_STORE")
    server.serve(opened, host, port, lambda url: say(f"{url} shows {opened.uri}; Ctrl-C ends it"))


COMMANDS = [serve]
