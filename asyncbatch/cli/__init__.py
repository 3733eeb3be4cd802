"""The `asyncbatch` command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; the entry point of the package's script."""
    try:
        from asyncbatch.cli._app import app  # noqa: PLC0415 - click and rich are an extra
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in {"click", "rich"}:
            raise
        sys.stderr.write(
            f'The asyncbatch command needs {name}, which is not installed: pip install "asyncbatch[cli]"\n'
        )
        sys.exit(2)
    app(prog_name="asyncbatch")
