"""What would fail an hour later, looked for before anything is made."""

import runpy
import shlex
import shutil
from pathlib import Path

from acceptance.plan.options import TUNNEL, Options
from acceptance.programs.deploys import PROJECT
from portway.errors import PortwayError

MOST_CLIENT_NETWORKS = 4
"""The template takes five, and the part `update` adds one."""
CA_FILE = "database_ca_file"


def check(options: Options, arn: str) -> None:
    """PortwayError unless a run can be made on this machine, by this caller."""
    if arn.endswith(":root"):
        raise PortwayError(
            "these are the credentials of the account's root user",
            why="AWS lets it assume no role, and runs are made as one",
            do="use those of a user or a role",
        )
    if len(options.client_cidrs.split(",")) > MOST_CLIENT_NETWORKS:
        raise PortwayError(
            f"--client-cidrs has more than {MOST_CLIENT_NETWORKS} networks",
            why="The stack takes five, and the run adds one",
        )
    if options.has_tunnel:
        program = _words("tunnel_command", _setting(options, "tunnel_command", TUNNEL))
        _refuse_missing(program, "install the AWS CLI, or give --operator-cidr")
    if options.client:
        _refuse_missing(_words("--client", options.client), "install it")
    _check_authorities(options)


def _words(name: str, command: str) -> str:
    """The program of a command."""
    try:
        return shlex.split(command)[0]
    except (ValueError, IndexError) as error:
        raise PortwayError(f"{name}: {command} is no command ({error})") from None


def _refuse_missing(program: str, do: str) -> None:
    if shutil.which(program) is None:
        raise PortwayError(f"there is no program {program} on this machine", do=do)


def _setting(options: Options, key: str, otherwise: str) -> str:
    """A setting that was given with --data."""
    given = [word.split("=", 1) for word in options.data]
    return next((value for name, value in reversed(given) if name == key), otherwise)


def _check_authorities(options: Options) -> None:
    """The database's authorities are read by every deploy, from the checkout."""
    named = _setting(options, CA_FILE, "") or _in_group_data(options.inventory)
    if named and not (PROJECT / named).is_file():
        raise PortwayError(
            f"{CA_FILE}: there is no file {PROJECT / named}",
            do=f"get it: docs/install.md; or name another with --data {CA_FILE}=FILE",
        )


def _in_group_data(inventory: str) -> str:
    """The file that settings name; those of the inventory come before all others'."""
    for name in (Path(inventory).name, "all.py"):
        file = PROJECT / "group_data" / name
        if file.is_file() and (found := runpy.run_path(str(file)).get(CA_FILE)):
            return str(found)
    return ""
