"""``portway``: one command for people and for cron, a file or a folder for each verb.

Exit statuses mean the same for every verb: 0 all is well, 2 something was found that
is not (a drift, a difference, an invalid entry), 1 it could not be found out.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from portway.cli.output import FAILED
from portway.errors import PortwayError


def _agent() -> click.Command:
    from portway.cli.agent import command

    return command


def _check() -> click.Command:
    from portway.cli.check import command

    return command


def _compare() -> click.Command:
    from portway.cli.compare import command

    return command


def _drift() -> click.Command:
    from portway.cli.drift.command import command

    return command


def _explain() -> click.Command:
    from portway.cli.explain import command

    return command


def _history() -> click.Command:
    from portway.cli.history import command

    return command


def _import_chef() -> click.Command:
    from portway.cli.import_chef import command

    return command


def _reference() -> click.Command:
    from portway.cli.reference import command

    return command


def _release() -> click.Command:
    from portway.cli.release import command

    return command


def _render() -> click.Command:
    from portway.cli.render import command

    return command


def _save() -> click.Command:
    from portway.cli.save import command

    return command


def _status() -> click.Command:
    from portway.cli.status.command import command

    return command


def _trust() -> click.Command:
    from portway.cli.trust import command

    return command


Verb = tuple[str, Callable[[], click.Command]]
VERBS: Mapping[str, Verb] = {
    "check": ("Check settings and clients, without AWS.", _check),
    "save": ("Save what AWS says about a stack to a file.", _save),
    "render": ("Write the files of a node to a folder.", _render),
    "explain": ("Where a setting, a client or a line of a file is from.", _explain),
    "status": ("Show the running system in one screen.", _status),
    "drift": ("Say what a run would change, and who changed it.", _drift),
    "history": ("Show who deployed what, moves of the address, reloads.", _history),
    "import-chef": ("Make clients and settings of Chef's exports.", _import_chef),
    "compare": ("Say whether a new HAProxy file routes as an old one.", _compare),
    "release": ("Put this checkout and all it needs into one archive.", _release),
    "agent": ("Have a load balancer deploy to itself.", _agent),
    "trust": ("Record the nodes' SSH host keys, as EC2 shows them.", _trust),
    "reference": ("Write what the code declares into a document.", _reference),
}
"""What each verb is for, and what loads it."""


class Verbs(click.Group):
    """Verbs that are imported when they are used, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """All verbs, in the order in which people need them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """One verb; None if there is none of that name."""
        return VERBS[cmd_name][1]() if cmd_name in VERBS else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """List the verbs without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, help_) for name, (help_, _) in VERBS.items()])


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from portway.run.checkout import project_version

        click.echo(project_version())
        context.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def portway() -> None:
    """Is the system right, what changed, who changed it, and the way over from Chef.

    Exit statuses: 0 all is well, 2 something was found that is not, 1 it could not be
    found out. Every verb has --json.
    """


def main() -> None:
    """Run a verb; errors are told in words, not as tracebacks."""
    sys.path.append(str(Path.cwd()))  # as pyinfra does, for what group_data imports
    try:
        sys.exit(portway.main(standalone_mode=False))
    except click.exceptions.Abort:
        sys.exit("Interrupted.")
    except click.ClickException as error:
        if "--json" in sys.argv[1:]:
            print(json.dumps({"error": error.format_message()}))
        error.show()
        sys.exit(FAILED)
    except PortwayError as error:
        if "--json" in sys.argv[1:]:
            print(json.dumps({"error": error.message}))
        click.echo(error.message, err=True)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
