import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm.data.alphabet import Alphabet
from ardm.errors import InputError

BYTES, TEXT8 = Alphabet("bytes"), Alphabet("text8")


@given(st.text())
def test_every_text_survives_as_bytes(text):
    data = text.encode("utf-8", "ignore")
    values = BYTES.encode(data, "here")
    assert values.dtype == np.uint8
    assert BYTES.decode(values) == data


@given(st.text("abcdefghijklmnopqrstuvwxyz "))
def test_every_text_of_letters_and_spaces_survives_as_27_classes(text):
    values = TEXT8.encode(text.encode(), "here")
    assert (values < TEXT8.classes).all()
    assert TEXT8.decode(values).decode() == text


def test_the_classes_of_text8_are_the_space_and_the_letters_in_their_order():
    assert TEXT8.classes == 27
    assert TEXT8.encode(b" abz", "here").tolist() == [0, 1, 2, 26]
    assert BYTES.classes == 256


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "Abc",
            "here: line 1, column 1: expected a lower-case letter a to z or a space, received ",
        ),
        ("abc\n", r"line 1, column 4: .* received '\n' (U+000A); use `alphabet: bytes`"),
        ("abc déf", "line 1, column 6: .* received 'é' (U+00E9); use `alphabet: bytes`"),
    ],
)
def test_a_character_outside_of_the_alphabet_is_named_with_its_place(text, where):
    with pytest.raises(InputError) as caught:
        TEXT8.encode(text.encode(), "here")
    for part in where.split(" .* "):
        assert part in str(caught.value).replace("\n", r"\n")


def test_columns_are_counted_in_characters_and_lines_from_one():
    with pytest.raises(InputError, match="the byte 0xff in line 3, column 3; convert it"):
        BYTES.encode("a\nb\nöö".encode() + b"\xff", "here")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"plain\n\ttext", "plain\n\ttext"),
        ("grün".encode(), "grün"),
        (b"\x1b[31mred\x07\x00", r"\x1b[31mred\x07\x00"),
        (b"half \xc3", r"half \xc3"),
    ],
)
def test_what_is_shown_cannot_control_a_terminal(text, shown):
    assert BYTES.show(np.frombuffer(text, np.uint8)) == shown


def test_hidden_characters_are_shown_as_blanks():
    assert TEXT8.show(np.array([1, -1, 0, -1, 26])) == "a_ _z"
