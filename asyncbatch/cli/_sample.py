"""`asyncbatch sample`: print an event of an event source."""

import json
from collections.abc import Callable
from typing import Any

import click

from asyncbatch import EventSource
from asyncbatch.testing import sample_event

SOURCES = click.Choice([source.value for source in EventSource])


def sample_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that shape a sample event; `invoke` and `sample` share them."""
    for option in (
        click.option("--seed", type=int, help="Seed of the sample; the same seed, the same event."),
        click.option(
            "--keys",
            type=click.IntRange(min=1),
            help="Lanes to spread the records over: message groups, keys, partitions.",
        ),
        click.option("-n", "--records", "size", type=click.IntRange(min=0), help="Records.  [default: 10]"),
    ):
        command = option(command)
    return command


def make_sample(source: str, size: int | None, keys: int | None, seed: int | None) -> dict[str, Any]:
    """Return an event of `source`; options left out take the defaults of `sample_event`."""
    asked = {"keys": keys, "seed": seed}
    options = {name: value for name, value in asked.items() if value is not None}
    return sample_event(EventSource(source), 10 if size is None else size, **options)


@click.command(short_help="Print an event of an event source.")
@click.argument("source", type=SOURCES, metavar="SOURCE")
@sample_options
def sample(source: str, size: int | None, keys: int | None, seed: int | None) -> None:
    """Print an event of SOURCE (sqs, sqs-fifo, kinesis, dynamodb, kafka) as JSON.

    \b
    asyncbatch sample sqs-fifo -n 4 --keys 2
    asyncbatch sample kinesis | asyncbatch invoke app.py:lambda_handler --event -
    """  # noqa: D301 - click's mark for "do not rewrap"
    click.echo(json.dumps(make_sample(source, size, keys, seed), indent=2))
