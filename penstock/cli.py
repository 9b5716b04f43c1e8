"""The command `penstock`: each verb is a module of its own, loaded when it is asked for."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from penstock.local.parts import PUBLIC_PORTS, SERVICES

app = typer.Typer(
    help="Penstock keeps Kubernetes clusters equal to what Git, OCI, Helm and buckets say.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# typer reads these at run time, where `Path | None` is not understood in an Annotated alias.
State = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        help="The environment's folder; without it $PENSTOCK_STATE_DIR, or .penstock here."
    ),
]


@app.command()
def up(
    state: State = None,
    detach: Annotated[bool, typer.Option(help="Leave it running and return.")] = False,
    kubeconfig: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            exists=True, dir_okay=False, help="Use this cluster: its current context, as it is."
        ),
    ] = None,
    port: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME=NUMBER", help=f"Of {', '.join(PUBLIC_PORTS)}; may be repeated."),
    ] = None,
    without: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="SERVICE", help=f"Leave out one of {', '.join(SERVICES)}."),
    ] = None,
) -> None:
    """Start Penstock on this machine, with a Kubernetes of its own or against a given one."""
    from penstock import up as verb

    raise typer.Exit(verb.run(state, kubeconfig, port or [], without or [], detach=detach))


@app.command()
def status(
    state: State = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json")] = "table",
) -> None:
    """Show what runs in an environment, and where it can be reached."""
    from penstock import status as verb

    raise typer.Exit(verb.run(state, output))


@app.command()
def down(state: State = None) -> None:
    """Stop what `penstock up` started, and nothing else; data stay."""
    from penstock import down as verb

    raise typer.Exit(verb.run(state))


@app.command()
def demo(
    state: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A folder to keep; without it, one that goes at the end."),
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave everything running at the end.")] = False,
) -> None:
    """Show a commit become a running application, step by step, with times."""
    from penstock import demonstrate as verb

    raise typer.Exit(verb.run(state, keep=keep))


def main() -> None:
    app()
