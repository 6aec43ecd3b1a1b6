"""The examples that `--help` shows."""

import shlex

import click
import pytest
import typer

from ardm.cli.examples import EXAMPLES
from ardm.cli.main import app

COMMANDS = typer.main.get_command(app).commands


def test_every_command_has_an_example():
    assert EXAMPLES.keys() == COMMANDS.keys()


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_are_understood(line):
    words = shlex.split(line.partition(" >> ")[0])
    assert words[0] == "ardm"
    command = COMMANDS[words[1]]
    try:
        command.make_context(words[1], list(words[2:]))
    except click.exceptions.BadParameter as error:  # pragma: no cover
        pytest.fail(str(error))
