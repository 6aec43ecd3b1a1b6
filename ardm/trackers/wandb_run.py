"""Weights & Biases: all attempts of a run are one run of its own.

Everything is set by W&B's own variables: WANDB_API_KEY, WANDB_PROJECT, WANDB_ENTITY, WANDB_DIR, and
WANDB_MODE=offline, with which `wandb sync` uploads the files later.
"""

import io
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import wandb
from PIL import Image

from ardm.store.home import home
from ardm.trackers.tracker import About, Picture, Record, Scalar


class WandbRun:
    """A run of Weights & Biases that goes on under the same id.

    Args:
        about: the run.
    """

    def __init__(self, about: About) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ardm"),
            id=about.identity,
            name=about.run,
            resume="allow",
            config=dict(about.settings),
            dir=os.environ.get("WANDB_DIR") or str(home()),
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )

    def write(self, records: Sequence[Record]) -> None:
        """Log the records, those of one step together."""
        for step, together in groupby(records, lambda record: record.step):
            self._run.log({record.tag: _shown(record) for record in together}, step=step)

    def close(self) -> None:
        """End the attempt; the next one goes on with the same run."""
        self._run.finish()


def _shown(record: Record) -> Any:
    if isinstance(record, Scalar):
        return record.value
    if isinstance(record, Picture):
        return wandb.Image(Image.open(io.BytesIO(record.png)))
    return wandb.Html(f"<pre>{_escape(record.text)}</pre>")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
