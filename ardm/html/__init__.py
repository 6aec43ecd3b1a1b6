"""Pages about runs, each one file that needs no network: `ardm report --html`."""
