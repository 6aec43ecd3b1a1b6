import numpy as np
import pytest

from ardm import prompts
from ardm.data.alphabet import Alphabet
from ardm.data.media import AUDIO, IMAGE, TEXT
from ardm.errors import InputError
from tests.model.tiny import tiny_model, tiny_transformer

BYTES = Alphabet("bytes")
OBJECTIVE = tiny_transformer(12, 256).objective


def read(alphabet=BYTES, objective=OBJECTIVE, **options):
    return prompts.read(TEXT, alphabet, objective, **options)


def shown(given) -> str:
    """The given characters, `_` for wanted ones, `.` for the rest."""
    known, wanted = given.known.reshape(-1), given.wanted.reshape(-1)
    assert not (known & wanted).any()
    return "".join(
        chr(value) if k else "_" if w else "."
        for value, k, w in zip(given.values.reshape(-1), known, wanted, strict=True)
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "____________"),
        ({"length": 5}, "_____......."),
        ({"prompt": "It is"}, "It is_______"),
        ({"prompt": "It is", "length": 7}, "It is__....."),
        ({"infill": "It _s _"}, "It _s _....."),
        ({"infill": "____________"}, "____________"),
    ],
)
def test_what_is_given_and_what_is_wanted(options, expected):
    given = read(**options)
    assert shown(given) == expected
    assert given.end == len(expected.rstrip("."))


def test_bytes_of_a_character_are_given_one_by_one():
    given = read(infill="ü_")
    assert given.values.reshape(-1)[:2].tolist() == list("ü".encode())
    assert np.flatnonzero(given.wanted).tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 13}, "--length 13: the model generates sequences of at most 12 characters"),
        (
            {"prompt": "x" * 12},
            "--prompt: expected less than the 12 characters of the text, received",
        ),
        ({"prompt": "xyz", "length": 3}, "received 3; shorten it, or give a larger --length"),
        ({"infill": "x" * 12 + "_"}, "--infill: the model generates sequences of at most 12"),
        (
            {"infill": "nothing"},
            "--infill: expected a _ for each character to generate, found none",
        ),
        ({"infill": "_", "prompt": "x"}, "neither --prompt nor --length goes with it"),
        ({"infill": "_", "length": 3}, "neither --prompt nor --length goes with it"),
        ({"alphabet": Alphabet("text8"), "prompt": "It"}, "--prompt: line 1, column 1: expected a"),
        (
            {"alphabet": Alphabet("text8"), "infill": "ab C_"},
            "--infill: line 1, column 4: expected",
        ),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        read(**options)


@pytest.mark.parametrize("option", ["length", "prompt", "infill"])
def test_a_model_of_images_has_no_prompts(option):
    objective = tiny_model().objective
    value = 3 if option == "length" else "a_"
    with pytest.raises(InputError, match=f"--{option}: the model generates images, no texts"):
        prompts.read(IMAGE, None, objective, **{option: value})
    given = prompts.read(IMAGE, None, objective)
    assert given.wanted.all()
    assert not given.known.any()


def test_a_recording_may_be_shorter_but_has_no_prompt():
    given = prompts.read(AUDIO, None, OBJECTIVE, length=5)
    assert shown(given) == "_____......."
    with pytest.raises(InputError, match="--prompt: the model generates recordings, no texts"):
        prompts.read(AUDIO, None, OBJECTIVE, prompt="a")
    with pytest.raises(InputError, match=r"--length 13: .* at most 12 samples"):
        prompts.read(AUDIO, None, OBJECTIVE, length=13)
