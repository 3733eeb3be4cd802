"""The command group: one file per command beside this one."""

import click

from asyncbatch.cli._invoke import invoke
from asyncbatch.cli._sample import sample
from asyncbatch.cli._tune import tune


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asyncbatch", message="%(prog)s %(version)s")
def app() -> None:
    """Call batch handlers as AWS Lambda would, make events to call them with, find their limit."""


app.add_command(invoke)
app.add_command(sample)
app.add_command(tune)
