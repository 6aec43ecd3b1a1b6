"""MLflow: all attempts of a run are one run of its own, found again by a tag.

The server is set by MLflow's own variables: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and
MLFLOW_TRACKING_USERNAME and the like.
"""

import io
import os
from collections.abc import Sequence
from itertools import islice

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from PIL import Image

from ardm.trackers.tracker import About, Picture, Record, Scalar

_TAG = "ardm.identity"

_AT_ONCE = 1000
"""The most metrics of one request, and the most characters of a parameter: limits of MLflow (3)."""


class MlflowRun:
    """A run of MLflow that goes on under the same id.

    Args:
        about: the run.
    """

    def __init__(self, about: About) -> None:
        self._client = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "ardm")
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        found = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{about.identity}'")
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {_TAG: about.identity}
        self._id = self._client.create_run(experiment, tags=tags, run_name=about.run).info.run_id
        settings = [Param(key, str(value)[:_AT_ONCE]) for key, value in about.settings.items()]
        for start in range(0, len(settings), 100):
            self._client.log_batch(self._id, params=settings[start : start + 100])
        self._client.log_text(self._id, about.job_file, "job.yaml")

    def write(self, records: Sequence[Record]) -> None:
        """Log metrics in batches, and pictures and texts one by one."""
        metrics = (
            Metric(record.tag, record.value, int(record.time * 1000), record.step)
            for record in records
            if isinstance(record, Scalar)
        )
        while batch := list(islice(metrics, _AT_ONCE)):
            self._client.log_batch(self._id, metrics=batch)
        for record in records:
            if isinstance(record, Picture):
                picture = Image.open(io.BytesIO(record.png))
                self._client.log_image(self._id, picture, key=record.tag, step=record.step)
            elif not isinstance(record, Scalar):
                file = f"{record.tag}/{record.step:08d}.md"
                self._client.log_text(self._id, record.text, file)

    def close(self) -> None:
        """End the attempt; the next one goes on with the same run."""
        self._client.set_terminated(self._id)
