"""The command line: ``message-app --config FILE`` serves until it is told to stop."""

import argparse
import asyncio
from pathlib import Path

from .config import Faults
from .server import Application
from .version import VERSION


async def serve(path: Path) -> None:
    """Read the configuration and serve; a faults file beside it is for tests."""
    await Application(path, Faults(path.with_name("faults.json"))).run()


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="message-app")
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--config", type=Path, required=True)
    asyncio.run(serve(parser.parse_args().config))


if __name__ == "__main__":
    main()
