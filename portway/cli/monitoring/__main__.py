"""``python -m portway.cli.monitoring monitoring`` writes the files into that folder."""

import argparse
from pathlib import Path

from portway.cli.monitoring.alerts import RUNBOOK, rules
from portway.cli.monitoring.dashboard import dashboard


def files(runbook: str = RUNBOOK) -> dict[str, str]:
    """The texts by the names of their files; ``runbook`` is where alerts link to."""
    return {"alerts.yaml": rules(runbook), "dashboard.json": dashboard()}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description="Write alerts and a dashboard.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--runbook",
        metavar="URL",
        default=RUNBOOK,
        help="Where alerts link to: a page that has docs/runbook.md.",
    )
    given = parser.parse_args()
    for name, text in files(given.runbook).items():
        (given.folder / name).write_text(text)


if __name__ == "__main__":
    main()
