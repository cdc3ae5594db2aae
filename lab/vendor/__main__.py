"""``python -m lab.vendor build VERSION FOLDER`` builds the vendor's archives."""

import argparse
from pathlib import Path

from lab.vendor.build import build, sha256
from lab.vendor.hostile import HOSTILE, build_hostile


def main() -> None:
    """Parse the command line and build what it asks for."""
    parser = argparse.ArgumentParser(prog="python -m lab.vendor")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("build", help="build the archive of a version")
    command.add_argument("version")
    command.add_argument("folder", type=Path)
    command.add_argument(
        "--hostile",
        choices=sorted(HOSTILE),
        help="build an archive that attacks whoever unpacks it",
    )
    arguments = parser.parse_args()
    if arguments.hostile:
        path = build_hostile(arguments.hostile, arguments.version, arguments.folder)
    else:
        path = build(arguments.version, arguments.folder)
    print(f"{sha256(path)}  {path}")


if __name__ == "__main__":
    main()
