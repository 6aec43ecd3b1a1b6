"""What `ardm export` writes: all files of a model for people who do not use this package."""

import numpy as np
import yaml

from ardm.checkpointed import Checkpointed
from ardm.export import artifacts, card
from ardm.generated import Calls
from ardm.runner.environment import environment


def files(model: Checkpointed, num: int, calls: Calls, license_name: str) -> dict[str, bytes]:
    """The files of an exported model, by name.

    Args:
        model: the model.
        num: number of examples that the functions draw, and score, at once.
        calls: the network calls of the sampler.
        license_name: licence of the parameters.
    """
    medium, classes, spec = model.medium, model.model.classes, model.spec
    metadata = {"run": model.name, "step": str(model.step), "digest": model.digest}
    facts = metadata | {
        "data": model.data_title,
        "parameters": f"{model.model.param_count:,}",
        "sampler": f"{num} {medium.examples}, {len(calls.starts)} calls ({calls.kind} policy)",
    }
    letters = model.alphabet.decode(np.arange(classes)) if model.alphabet else b""
    rate = model.sound.rate if model.sound else 0
    source = card.script(medium, classes, num, letters=letters, rate=rate)
    versions = environment()["libraries"]
    readme = card.card(model.name, spec, facts, model.likelihoods(), versions, license_name)
    return {
        artifacts.PARAMETERS: artifacts.parameters(model.params, metadata),
        artifacts.SAMPLER: artifacts.sampler(model.model, num, calls.starts),
        artifacts.SCORER: artifacts.scorer(model.model, num),
        "sample.py": source.encode(),
        "README.md": readme.encode(),
        "job.yaml": yaml.safe_dump(spec.copy_for_records(), sort_keys=False).encode(),
    }
