"""The command that starts a deployed run: ``federation run``."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Annotated, Any

import typer

from common.cli import options
from common.cli.settings_flags import takes_settings
from server.federation.cli.folder_option import Dir

RUN = "Run"


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: fedser federation run --rounds 20 --corpus emodb --root federation/held-out")(run)


@takes_settings("data.held_out", "data.folds", "data.sites", "augment.noise_recordings", "privacy.canaries")
def run(
    settings: dict[str, Any],
    directory: Dir = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--out",
            "--name",
            metavar="NAME",
            help="The run's name; run-1, run-2 … by default.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Go on with a run that was stopped or failed.", rich_help_panel=RUN, show_default=False
        ),
    ] = None,
    sites: Annotated[
        int | None,
        typer.Option(
            help="How many sites must be online before round 1; all by default.",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for them.", rich_help_panel=RUN, min=0)] = 600.0,
    json_output: options.JsonOutput = False,
) -> None:
    """Train one model across the sites of a federation, and score it on speakers that nobody trained on.

    With --root the coordinator holds the test speakers: all those of that corpus. Without it the sites hold them,
    marked split=test, and --classes names the emotions; a private run asks nothing of them, and is then not scored.
    """  # fmt: skip
    from server.federation.folder import coordinator_folder
    from server.federation.runs.deployed_run import Wish, run

    wish = Wish(
        settings=settings,
        name=name,
        resume=resume,
        sites=sites,
        wait=wait,
        command=shlex.join(["fedser", *sys.argv[1:]]),
    )
    whole = run(coordinator_folder.find(directory), wish)
    if json_output:
        typer.echo(json.dumps(whole.as_json()))
