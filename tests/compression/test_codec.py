import subprocess
import sys
from functools import cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.compression import container
from ardm.compression.codec import Codec
from ardm.compression.coder import Decoder, Encoder
from ardm.data.alphabet import Alphabet
from ardm.errors import InputError
from ardm.model import policy
from ardm.model.coding import Examples, transcode
from ardm.training.likelihood import Likelihood
from tests.compression.test_files import idx
from tests.model.tiny import tiny_model, tiny_params, tiny_transformer

pytestmark = pytest.mark.slow

DIGEST = "ab" * 32
few = settings(deadline=None, max_examples=8)


@cache
def codec(kind="binary", seed=0):
    model, alphabet = {
        "binary": (tiny_model(3), None),
        "gray": (tiny_model(4, classes=256, output="logistic_mixture", components=2), None),
        "upscale": (
            tiny_model(4, classes=256, objective="upscale", upscale={"branch": 16}),
            None,
        ),
        "bytes": (tiny_transformer(8, 256), Alphabet("bytes")),
        "permuted": (tiny_transformer(8, 256, objective="permuted"), Alphabet("bytes")),
    }[kind]
    return Codec(model, tiny_params(model, seed), DIGEST, alphabet)


def starts(coder, budget=4):
    objective = coder.model.objective
    calls = budget if objective.several_per_call else objective.steps
    return policy.uniform(objective.D, calls, objective.stages)


def there_and_back(coder, paths, **options):
    compressed = coder.compress(paths, starts(coder), **options)
    return dict(coder.decompress(compressed.data, "x.ardm")), compressed


@given(st.integers(1, 40), st.integers(0, 2), st.integers(0, 1000))
@few
def test_binary_images_come_back(tmp_path_factory, number, fill, seed):
    """Random ones, and constant ones."""
    images = np.random.default_rng(seed).integers(0, 2, (number, 3, 3), np.uint8)
    images = images if fill == 2 else np.full_like(images, fill)
    path = tmp_path_factory.mktemp("in") / "digits.idx"
    path.write_bytes(idx(images))
    found, compressed = there_and_back(codec(), [path])
    assert found == {"digits.idx": idx(images)}
    assert compressed.values == images.size


@pytest.mark.parametrize("kind", ["gray", "upscale"])
def test_gray_images_come_back(tmp_path, kind):
    images = np.random.default_rng(1).integers(0, 256, (3, 4, 4), np.uint8)
    (tmp_path / "a.idx").write_bytes(idx(images))
    (tmp_path / "b.idx").write_bytes(idx(images[:1] * 0))
    found, _ = there_and_back(codec(kind), [tmp_path / "a.idx", tmp_path / "b.idx"])
    assert found == {"a.idx": idx(images), "b.idx": idx(images[:1] * 0)}


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=3))
@few
def test_any_files_come_back(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("in")
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content)
    paths = [folder / str(number) for number in range(len(contents))]
    found, _ = there_and_back(codec("bytes"), paths)
    assert list(found.values()) == contents


def test_the_permuted_baseline_compresses(tmp_path):
    (tmp_path / "a").write_bytes(b"one character per call")
    found, _ = there_and_back(codec("permuted"), [tmp_path / "a"])
    assert found == {"a": b"one character per call"}


@pytest.mark.parametrize("classes", [2, 3, 17, 256, 257, 4000, 65_536])
def test_values_of_any_number_of_classes_come_back(classes):
    output = {"output": "logistic_mixture", "components": 2} if classes > 2 else {}
    model = tiny_model(2, classes=classes, **output)
    objective = model.objective
    x = np.random.default_rng(4).integers(0, classes, (3, 2, 2, 1)).astype(objective.value_type)
    x[0] = classes - 1
    keys = jax.random.split(jax.random.key(1), 3)
    examples = Examples(np.asarray(objective.orders(keys))[:, None], np.ones((3, 2, 2, 1), bool), x)
    walk = {"starts": np.array([0, 1]), "objective": objective, "batch": 2}
    encoder, predict = Encoder(), model.bind(tiny_params(model))
    transcode(predict, encoder, examples, **walk)
    found = transcode(predict, Decoder(encoder.words()), examples._replace(values=None), **walk)
    assert found.dtype == objective.value_type
    np.testing.assert_array_equal(found, x)


def test_the_size_is_the_exact_likelihood(tmp_path):
    coder = codec()
    images = np.random.default_rng(3).integers(0, 2, (300, 3, 3), np.uint8)
    (tmp_path / "a.idx").write_bytes(idx(images))
    _, compressed = there_and_back(coder, [tmp_path / "a.idx"])
    likelihood = Likelihood(coder.model, coder.params, 0, images[..., None], starts(coder))
    bits = -likelihood.per_image(1).sum() / np.log(2)
    assert 32 * compressed.header.words == pytest.approx(bits, rel=0.002, abs=64)


def test_several_orders_cost_less_and_come_back(tmp_path):
    coder = codec()
    images = np.random.default_rng(3).integers(0, 2, (200, 3, 3), np.uint8)
    (tmp_path / "a.idx").write_bytes(idx(images))
    _, single = there_and_back(coder, [tmp_path / "a.idx"])
    found, best = there_and_back(coder, [tmp_path / "a.idx"], orders=4)
    assert found == {"a.idx": idx(images)}
    assert best.header.words < single.header.words + 200 * 2 / 32


def compressed_text(tmp_path):
    (tmp_path / "a").write_bytes(b"a text of some length")
    return codec("bytes").compress([tmp_path / "a"], starts(codec("bytes")))


def test_another_model_is_refused(tmp_path):
    data = compressed_text(tmp_path).data
    ours = codec("bytes")
    other = Codec(ours.model, ours.params, "cd" * 32, ours.alphabet)
    with pytest.raises(InputError, match=r"expected a file of the model with digest cdcdcdcdcdcd"):
        other.decompress(data, "x.ardm")


def test_a_machine_that_computes_other_bits_is_refused_before_decoding(tmp_path):
    data = compressed_text(tmp_path).data
    ours = codec("bytes")
    params = jax.tree.map(lambda leaf: leaf * (1 + 1e-6), ours.params)
    other = Codec(ours.model, params, DIGEST, ours.alphabet)
    with pytest.raises(InputError, match="this machine computes other bits"):
        other.decompress(data, "x.ardm")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 2**31 - 1}, "the header promises .* more than a stream of"),
        ({"kind": "png"}, "the header names files that this model cannot write"),
    ],
)
def test_a_header_that_promises_too_much_is_refused_in_little_memory(tmp_path, changes, message):
    compressed = compressed_text(tmp_path)
    entry = compressed.header.files[0].model_copy(update=changes)
    header = compressed.header.model_copy(update={"files": (entry,)})
    _, words = container.unpack(compressed.data, "x")
    with pytest.raises(InputError, match=message):
        codec("bytes").decompress(container.pack(header, words), "x.ardm")


def test_a_stream_of_other_content_is_noticed(tmp_path):
    compressed = compressed_text(tmp_path)
    words = np.arange(compressed.header.words, dtype=np.uint32)
    stream = container.sha256(container.as_bytes(words))
    header = compressed.header.model_copy(update={"stream": stream})
    with pytest.raises(InputError):
        codec("bytes").decompress(container.pack(header, words), "x.ardm")


READ = """
import sys
from pathlib import Path
from ardm.training.devices import use_cores
use_cores(int(sys.argv[1]))
from tests.compression.test_codec import codec
((_, content),) = codec("bytes").decompress(Path(sys.argv[2]).read_bytes(), "x")
sys.stdout.buffer.write(content)
"""


@pytest.mark.parametrize("cores", ["1", "2"])
def test_another_process_with_other_cores_restores_it(tmp_path, cores):
    (tmp_path / "x.ardm").write_bytes(compressed_text(tmp_path).data)
    done = subprocess.run(
        [sys.executable, "-c", READ, cores, tmp_path / "x.ardm"],
        capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout == b"a text of some length", done.stderr.decode()
