"""The program ``fedser``: joins the commands of the rings that are installed, and turns errors into one line.

A ring's ``cli.py`` has ``add(app)``, which adds its commands. It imports torch and flwr inside its commands only, so
that ``fedser --help`` answers at once; a site's image holds no ``simulations/``, and then has no such commands.
"""

from __future__ import annotations

import errno
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from functools import cache
from typing import Annotated

import click
import typer

from common.cli import options
from common.cli.calibrate_commands import calibrate
from common.cli.corpus_commands import corpus
from common.cli.encoder_commands import encoders
from common.cli.extras import extra_of
from common.cli.predict_commands import predict
from common.cli.privacy_commands import privacy
from common.errors import FedserError
from common.escaping import one_line, print_any_name
from common.processes.writable_home import provide_home

RINGS = ("client", "server", "recogniser", "simulations")
INTERRUPTED = 130

app = typer.Typer(
    name="fedser",
    no_args_is_help=True,
    add_completion=False,
    suggest_commands=False,  # Click suggests already
    pretty_exceptions_enable=False,
    help="Federated learning of speech emotion: one model, and no recording leaves its site.",
    epilog="Example: fedser corpus check --corpus emodb --root ~/emodb",
)
app.add_typer(corpus, name="corpus")
app.add_typer(privacy, name="privacy")
app.command(
    epilog="Example: fedser predict --model runs/emodb a.wav b.flac\n\n"
    "One speaker's: fedser predict --model runs/emodb --together ann/*.wav\n\n"
    "Known before: fedser predict --model runs/emodb --profile ann.json a.wav"
)(predict)
app.command(epilog="Example: fedser calibrate --model runs/emodb --corpus manifest --root ~/clinic/manifest.csv")(
    calibrate
)
app.command(epilog="Example: fedser encoders ~/encoders/whisper-tiny")(encoders)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedser {importlib.metadata.version('fedser')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def join_rings() -> None:
    """Add the commands of the rings that are installed; each once, however often this is called."""
    for ring in RINGS:
        _join(ring)


@cache
def _join(ring: str) -> None:
    if importlib.util.find_spec(ring) and importlib.util.find_spec(f"{ring}.cli"):
        importlib.import_module(f"{ring}.cli").add(app)


@cache
def _program() -> click.Command:
    """All commands, made once for a process that runs several."""
    join_rings()
    return typer.main.get_command(app)


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        provide_home()
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except FedserError as error:
        code = _fail(str(error), error.exit_code)
    except BrokenPipeError:  # the reader has what it wanted, as in fedser … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush does not fail too
        code = 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO) or error.filename:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _fail(f"what was to be printed cannot be written: {error.strerror}; free space there", 1)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code. Errors of the user's are printed in one line; all others are bugs and pass.
    """
    print_any_name()
    try:
        folded = options.fold_classes(options.expand_home(arguments))
        result = _program()(folded, prog_name="fedser", standalone_mode=False)
    except FedserError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (extra := extra_of(error.name or "")) is None:
            raise
        return _fail(f"this needs {error.name}, which is not installed: pip install 'fedser[{extra}]'", 1)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    return _fail("interrupted", INTERRUPTED) if result == INTERRUPTED else int(result or 0)


def _fail(message: str, code: int) -> int:
    typer.echo(f"fedser: error: {one_line(' '.join(message.split()))}", err=True)
    return code


if __name__ == "__main__":
    main()
