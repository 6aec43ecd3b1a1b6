"""The job file: reads it, applies `--set`, and validates it, reporting all faults at once."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from ardm.config import FROZEN, Section, Seed
from ardm.data.config import DataConfig, describe
from ardm.errors import InputError, SpecError
from ardm.job import job_file, messages, scalars, set_option, yaml_tree
from ardm.job.config import CheckpointConfig, LimitsConfig, ScalingConfig, Target
from ardm.job.sections import Sections
from ardm.job.yaml_tree import Fault, Keys
from ardm.model.config import ModelConfig
from ardm.model.config import faults as model_faults
from ardm.secrecy import without_secrets
from ardm.training.config import EvaluationConfig, TrainingConfig

MOST_FAULTS = 40
"""Largest number of faults that one message lists."""

Measure = Callable[[str], tuple[int, int, int]]
"""Returns the height, width and channels of the images in a folder; raises InputError."""

TrackerName = Literal["tensorboard", "wandb", "mlflow"]

NAME = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"


class JobSpec(Section):
    """A whole job file.

    Each section is checked against the valid ones above it, even if others have faults.
    """

    model_config = ConfigDict(validate_default=True)

    job: str = Field(pattern=NAME, max_length=60)
    """Name of the job; the names of its runs begin with it."""
    seed: Seed = 0
    """Everything random follows from it: parameters, batches, orders, generation steps, samples."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    scaling: ScalingConfig = ScalingConfig()
    limits: LimitsConfig = LimitsConfig()
    notify: Annotated[tuple[Target, ...], Field(strict=False, max_length=20)] = ()
    """Web hooks and commands to which messages go at the end of the run, and when something is
    wrong. Those whose address is a secret belong in the variable ARDM_NOTIFY."""
    notify_preemptions: bool = False
    """Send a message at each preemption, too."""
    trackers: Annotated[tuple[TrackerName, ...], Field(strict=False, max_length=3)] = (
        "tensorboard",
    )
    """Where figures, samples and the job can be looked at: TensorBoard's files in the run, Weights
    & Biases, and MLflow; the latter two need `pip install 'ardm[wandb]'` and `'ardm[mlflow]'`."""

    @field_validator("model")
    @classmethod
    def _fits_images(cls, model: ModelConfig, above: ValidationInfo) -> ModelConfig:
        data = above.data.get("data")
        if data and not data.needs_shape and (faults := model_faults(model, *describe(data))):
            raise ValueError("\n".join(faults))
        return model

    @field_validator("scaling")
    @classmethod
    def _divides_shards(cls, scaling: ScalingConfig, above: ValidationInfo) -> ScalingConfig:
        if training := above.data.get("training"):
            shards = training.grad_shards
            fits = [n for n in range(1, shards + 1) if shards % n == 0]
            faults = [
                f"workers: {count} does not divide training.grad_shards={shards}; "
                f"choose from {', '.join(map(str, fits))}"
                for count in dict.fromkeys((scaling.fewest, scaling.most))
                if count not in fits
            ]
            if faults:
                raise ValueError("\n".join(faults))
        return scaling

    @field_validator("trackers")
    @classmethod
    def _each_once(
        cls, trackers: tuple[TrackerName, ...], info: ValidationInfo
    ) -> tuple[TrackerName, ...]:
        if len(set(trackers)) < len(trackers) and info.context != FROZEN:
            raise PydanticCustomError("trackers", "Expected each tracker once")
        return trackers

    @field_validator("limits")
    @classmethod
    def _has_price(cls, limits: LimitsConfig, above: ValidationInfo) -> LimitsConfig:
        scaling = above.data.get("scaling")
        free = scaling and not scaling.price_per_worker_hour
        if free and limits.cost is not None and above.context != FROZEN:
            raise ValueError(
                "cost: needs scaling.price_per_worker_hour above 0; give it, or limit hours"
            )
        return limits

    def without_secrets(self) -> "JobSpec":
        """The spec without addresses of alerts, which may be secrets, and without passwords."""
        path = self.data.path and without_secrets(self.data.path)
        shown = self.data.model_copy(update={"path": path})
        return self.model_copy(update={"notify": (), "data": shown})

    def copy_for_records(self) -> dict[str, Any]:
        """The spec as a JSON value without secrets, and without the key for alerts."""
        return self.without_secrets().model_dump(mode="json", exclude={"notify"})

    def settings(self) -> dict[str, str | int | float | bool]:
        """All keys with their values, flat: `training.steps` and the like."""
        flat = _flatten(self.model_dump(mode="json"))
        return {
            k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in flat.items()
        }

    def to_yaml(self) -> str:
        """The spec as a job file with every key; its last line marks it as complete."""
        tree = self.model_dump(mode="json")
        text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, explicit_end=True)
        return text


_SECTIONS = Sections(JobSpec)


def load(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file; if it does not give the shape of its images, they are measured.

    Args:
        path: path of the YAML file.
        overrides: changes to the file, each as `section.key=value`; the value is read as YAML, and
            a mapping adds its keys to the section for which it is given.

    Raises:
        SpecError: the file cannot be read or has faults; the message lists all of them.
    """
    return loads(job_file.read(Path(path)), str(path), overrides)


def load_frozen(path: str | Path) -> JobSpec:
    """Read the job file of a run, as in a pulled directory; errors are those of `load`."""
    return parse(job_file.read(Path(path)), str(path), frozen=True)


def loads(text: str, source: str, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file from its text: see `load`.

    Args:
        text: the YAML text.
        source: name of the text in messages.
        overrides: changes to the text.

    Raises:
        SpecError: the text has faults; the message lists all of them.
    """
    return parse(text, source, overrides, _measure)


def parse(
    text: str,
    source: str,
    overrides: Sequence[str] = (),
    measure: Measure | None = None,
    *,
    frozen: bool = False,
) -> JobSpec:
    """Read a job file from its text; see `load`.

    Args:
        text: the YAML text.
        source: name of the text in messages.
        overrides: changes to the text, see `load`.
        measure: called once if the shape of the images is not given. If it is None, no image is
            read, and the shape stays unknown.
        frozen: whether it is the job file of a run, which an earlier version may have accepted.

    Raises:
        SpecError: the text has faults; the message lists all of them.
    """
    try:
        document = yaml_tree.read(text)
    except yaml_tree.NotYamlError as error:
        raise SpecError(source, [str(error)]) from error
    raw = document.tree
    if not isinstance(raw, dict):
        faults = [messages.of_reader(fault) for fault in document.faults]
        got = repr(raw)[:60]
        faults = faults or [f"expected sections such as `training:`, got {got}"]
        raise SpecError(source, faults)
    faults = list(set_option.apply(document, overrides, _SECTIONS.is_section))
    _drop_empty_sections(raw)
    refused = [*document.faults, *_without_value(raw, document.empty)]
    faults += [messages.of_reader(fault) for fault in refused]
    if measure is not None:
        faults += _add_shape(raw, measure)
    try:
        spec = JobSpec.model_validate_json(json.dumps(raw), context=FROZEN if frozen else None)
    except ValidationError as error:
        faults += _sentences(error, {fault.path for fault in refused})
    if faults:
        raise SpecError(source, _at_most(faults))
    return spec


def differences(old: JobSpec, new: JobSpec) -> list[str]:
    """The keys whose values differ, each as `key: old -> new`."""
    a, b = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [f"{key}: {a.get(key)!r} -> {b.get(key)!r}" for key in a | b if a.get(key) != b.get(key)]


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or YAML 1.2 would read as something else without quotes."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        try:
            is_text = scalars.read(text) == text
        except scalars.AmbiguousError:
            is_text = False
        style = None if is_text else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _drop_empty_sections(raw: dict[str, Any], above: Keys = ()) -> None:
    """Remove sections without content, such as those whose lines are all comments."""
    for name in list(raw):
        path = (*above, name)
        if raw[name] is None and _SECTIONS.is_section(path):
            del raw[name]
        elif isinstance(raw[name], dict):
            _drop_empty_sections(raw[name], path)


def _without_value(raw: dict[str, Any], empty: Sequence[Keys]) -> Iterator[Fault]:
    """A fault for each key without a value; the key is removed from the tree."""
    for path in dict.fromkeys(empty):
        section: Any = raw
        for name in path[:-1]:
            section = section.get(name) if isinstance(section, dict) else None
        known = isinstance(section, dict) and path[-1] in _SECTIONS.names(path[:-1])
        if known and section.get(path[-1], path) is None:
            del section[path[-1]]
            yield Fault(
                path,
                "expected a value, got none; write null for none, or leave the key out for the "
                "default",
            )


def _measure(folder: str) -> tuple[int, int, int]:
    # Imported on use: it needs pillow and fsspec, which a job without a folder of images does not.
    from ardm.data.image_folder import measure

    return measure(folder)


def _add_shape(raw: Mapping[str, Any], measure: Measure) -> Iterator[str]:
    """If the job file does not give the shape of its images, measure it and add it to the tree."""
    try:
        data = DataConfig.model_validate_json(json.dumps(raw.get("data", {})))
        if data.needs_shape:
            raw["data"]["shape"] = measure(str(data.path))
    except ValidationError:
        return  # the validation of the whole tree reports this fault
    except InputError as error:
        yield f"data.path: {error}"


def _sentences(error: ValidationError, known: Set[Keys]) -> list[str]:
    """Sentences for the faults of a tree, except at the paths `known` to have a fault."""
    new = (fault for fault in error.errors() if messages.path_of(fault, _SECTIONS) not in known)
    return [
        text for fault in islice(new, MOST_FAULTS) for text in messages.sentences(fault, _SECTIONS)
    ]


def _at_most(faults: list[str]) -> list[str]:
    hidden = len(faults) - MOST_FAULTS
    return [*faults[:MOST_FAULTS], f"and {hidden} more"] if hidden > 0 else faults


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
