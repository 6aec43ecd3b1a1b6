"""The job file: read, overridden with `--set`, checked at the door with all faults at once."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from ardm.config import Section, Seed
from ardm.data.config import DataConfig, describe
from ardm.errors import SpecError
from ardm.job import job_file, messages, scalars, set_option, yaml_tree
from ardm.job.config import CheckpointConfig, ScalingConfig
from ardm.job.yaml_tree import Fault, Keys
from ardm.model.config import ModelConfig
from ardm.model.config import faults as model_faults
from ardm.training.config import EvaluationConfig, TrainingConfig

MOST_FAULTS = 40
"""Faults that one message names."""

NAME = r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$"


class JobSpec(Section):
    """A whole job file."""

    job: str = Field(pattern=NAME, max_length=60)
    seed: Seed = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    scaling: ScalingConfig = ScalingConfig()

    def to_yaml(self) -> str:
        """The spec as a job file, every key written out; its last line shows that it is whole."""
        tree = self.model_dump(mode="json")
        text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, explicit_end=True)
        return text


def load(path: str | Path, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file.

    Args:
        path: the YAML file.
        overrides: `section.key=value` strings; a value is read as YAML, and a mapping adds to the
            section that it is given for.

    Raises:
        SpecError: unreadable, or with faults; it names every one of them.
    """
    return parse(job_file.read(Path(path)), str(path), overrides)


def parse(text: str, source: str, overrides: Sequence[str] = ()) -> JobSpec:
    """Read a job file from its text; see `load`."""
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
    faults = list(set_option.apply(document, overrides, _is_section))
    _drop_empty_sections(raw)
    refused = [*document.faults, *_without_value(raw, document.empty)]
    faults += [messages.of_reader(fault) for fault in refused]
    faults += _faults(raw, {fault.path for fault in refused})
    if faults:
        raise SpecError(source, _at_most(faults))
    return JobSpec.model_validate_json(json.dumps(raw))


def differences(old: JobSpec, new: JobSpec) -> list[str]:
    """Each key whose value differs, as `key: old -> new`."""
    a, b = _flatten(old.model_dump(mode="json")), _flatten(new.model_dump(mode="json"))
    return [f"{key}: {a.get(key)!r} -> {b.get(key)!r}" for key in a | b if a.get(key) != b.get(key)]


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that is something else without them, to YAML 1.1 or 1.2."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        try:
            is_text = scalars.read(text) == text
        except scalars.AmbiguousError:
            is_text = False
        style = None if is_text else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def _drop_empty_sections(raw: dict[str, Any], above: Keys = ()) -> None:
    """Leave out sections that hold nothing, such as those whose lines are all comments."""
    for name in list(raw):
        path = (*above, name)
        if raw[name] is None and _is_section(path):
            del raw[name]
        elif isinstance(raw[name], dict):
            _drop_empty_sections(raw[name], path)


def _without_value(raw: dict[str, Any], empty: Sequence[Keys]) -> Iterator[Fault]:
    """The keys that have no value; each is dropped from the tree."""
    for path in dict.fromkeys(empty):
        holder: Any = raw
        for name in path[:-1]:
            holder = holder.get(name) if isinstance(holder, dict) else None
        known = isinstance(holder, dict) and path[-1] in _names(path[:-1])
        if known and holder.get(path[-1], path) is None:
            del holder[path[-1]]
            yield Fault(
                path,
                "expected a value, got none; write null for none, or leave the key out for the "
                "default",
            )


def _faults(raw: Mapping[str, Any], known: Set[Keys]) -> list[str]:
    """What is wrong with a tree, but for the paths that are `known` to have a fault."""
    try:
        JobSpec.model_validate_json(json.dumps(raw))
        faults = []
    except ValidationError as error:
        fresh = (fault for fault in error.errors() if messages.path_of(fault) not in known)
        faults = [
            text
            for fault in islice(fresh, MOST_FAULTS)
            for text in messages.sentences(fault, _names)
        ]
    return faults + list(_cross_faults(raw))


def _cross_faults(raw: Mapping[str, Any]) -> Iterator[str]:
    """What only shows when two sections are held together; each must be sound by itself."""
    training = _section(TrainingConfig, raw.get("training", {}))
    scaling = _section(ScalingConfig, raw.get("scaling", {}))
    data = _section(DataConfig, raw.get("data", {}))
    model = _section(ModelConfig, raw.get("model", {}))
    if training and scaling:
        fits = [n for n in range(1, training.grad_shards + 1) if training.grad_shards % n == 0]
        for count in dict.fromkeys((scaling.fewest, scaling.most)):
            if count not in fits:
                yield (
                    f"scaling.workers: {count} does not divide training.grad_shards="
                    f"{training.grad_shards}; choose from {', '.join(map(str, fits))}"
                )
    if data and model:
        yield from (f"model.{fault}" for fault in model_faults(model, *describe(data)))


def _at_most(faults: list[str]) -> list[str]:
    more = len(faults) - MOST_FAULTS
    return [*faults[:MOST_FAULTS], f"and {more} more"] if more > 0 else faults


def _section(kind: type[Section], raw: Any) -> Any:
    try:
        return kind.model_validate_json(json.dumps(raw))
    except ValidationError:
        return None


def _is_section(path: Keys) -> bool:
    return _section_at(path) is not None


def _names(path: Keys) -> list[str]:
    """The valid keys of the section at `path`; none where there is no section."""
    section = _section_at(path)
    return list(section.model_fields) if section else []


def _section_at(path: Keys) -> type[Section] | None:
    section: type[Section] | None = JobSpec
    for part in path:
        field = section.model_fields.get(part) if section else None
        kind = field.annotation if field else None
        section = kind if isinstance(kind, type) and issubclass(kind, Section) else None
    return section


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
