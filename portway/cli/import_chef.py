"""``portway import-chef``: clients and settings from what Chef's commands print."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portway.cli.options import json_option
from portway.cli.output import FOUND, print_json
from portway.errors import PortwayError

if TYPE_CHECKING:
    from portway.chef.documents import Document
    from portway.chef.takeover import TakenOver

CLIENTS, SETTINGS = "clients.json", "settings.py"


def _told(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> object:
    for value in values:
        if not all(value.partition("=")):
            raise click.BadParameter(f"{value} is not NAME=PATH")
    return {name: path for name, _, path in (v.partition("=") for v in values)}


@click.command("import-chef")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    help=f"Write {CLIENTS} and {SETTINGS} into this folder instead of showing them.",
)
@click.option("--force", is_flag=True, help="Overwrite them.")
@click.option("--clients-path", metavar="PATH", help="Attribute with the clients.")
@click.option("--app-nodes-path", metavar="PATH", help="Attribute with the nodes.")
@click.option(
    "--without-app-nodes", is_flag=True, help="Use the nodes that AWS has instead."
)
@click.option(
    "--timeouts-in",
    "timeout_unit",
    type=click.Choice(["s", "ms"]),
    help="Unit of clients' timeouts that have none.",
)
@click.option(
    "--setting",
    "told",
    multiple=True,
    metavar="NAME=PATH",
    callback=_told,
    help="Attribute with a setting, such as idle_timeout=lb.idle:s; may be repeated.",
)
@click.option("--environment", metavar="NAME", help="The environment that counts.")
@click.option(
    "--without-role", "without_roles", multiple=True, help="Do without this role."
)
@json_option
def command(  # noqa: PLR0913 - an option each
    *,
    files: tuple[Path, ...],
    folder: Path | None,
    force: bool,
    clients_path: str | None,
    app_nodes_path: str | None,
    without_app_nodes: bool,
    timeout_unit: str | None,
    told: dict[str, str],
    environment: str | None,
    without_roles: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make clients and settings of FILES, which knife and chef-solo's users have.

    FILES are what knife node, role, environment and data bag show -F json print, and
    those of chef-solo -j, in any order. What cookbooks set by themselves is in none of
    them, but in a node's that was shown with -l.

    For example: portway import-chef node.json role.json prod.json --to taken-over

    Ends with 0 if all is valid, 2 if entries are not (nothing is written then), and 1
    if it cannot be told what counts. With --json: {"clients", "settings", "origins",
    "taken", "notes", "unread", "problems", "written"}.
    """
    from portway.chef.takeover import Wanted, take_over

    wanted = Wanted(
        clients_path,
        app_nodes_path,
        without_app_nodes,
        told,
        environment,
        without_roles,
        timeout_unit or "",
    )
    found = take_over(map(_document, files), wanted)
    texts = {CLIENTS: found.clients, SETTINGS: _settings(found)}
    written = _write(texts, folder, force) if folder and not found.problems else []
    if as_json:
        print_json(_as_json(found, written))
    else:
        _show(found, texts, written)
    sys.exit(FOUND if found.problems else 0)


def _document(path: Path) -> "Document":
    from portway.chef.documents import read

    try:
        return read(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise PortwayError(f"{path} cannot be read: {error}") from error


def _settings(found: "TakenOver") -> str:
    from portway.chef.settings_file import settings_file

    return settings_file(found.settings, found.origins)


def _write(texts: dict[str, str], folder: Path, force: bool) -> list[str]:
    from portway.run.local_files import SHARED, replace_files

    paths = {folder / name: text for name, text in texts.items()}
    try:
        there = [str(path) for path in paths if path.exists()]
    except OSError as error:
        raise PortwayError(f"{folder}: {error.strerror}") from error
    if there and not force:
        raise PortwayError(
            f"{' and '.join(there)} exist already; nothing was written",
            do="name another folder, or overwrite them with --force",
        )
    replace_files(paths, SHARED)
    return [str(path) for path in paths]


def _as_json(found: "TakenOver", written: list[str]) -> dict[str, Any]:
    import json

    return {
        "clients": json.loads(found.clients),
        "settings": dict(found.settings),
        "origins": dict(found.origins),
        "taken": list(found.taken),
        "notes": list(found.notes),
        "unread": list(found.unread),
        "problems": [str(problem) for problem in found.problems],
        "written": written,
    }


def _show(found: "TakenOver", texts: dict[str, str], written: list[str]) -> None:
    from portway.chef.settings_file import on_one_line

    if not written and not found.problems:
        for name, text in texts.items():
            click.echo(f"# {name}\n{text}")
    for title, lines in (
        ("Taken over", found.taken),
        ("Notes", found.notes),
        ("Not understood", found.unread),
        ("Wrong; nothing was written", [str(p) for p in found.problems]),
        ("Written", written),
    ):
        if lines:
            click.echo(f"{title}:")
            for line in lines:
                click.echo(f"  {on_one_line(line)}")
