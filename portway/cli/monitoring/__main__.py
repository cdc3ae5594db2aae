"""``python -m portway.cli.monitoring monitoring`` writes the files into that folder."""

import sys
from pathlib import Path

from portway.cli.monitoring.alerts import rules
from portway.cli.monitoring.dashboard import dashboard

FILES = {"alerts.yaml": rules, "dashboard.json": dashboard}


def main(folder: Path) -> None:
    """Write the files."""
    for name, made in FILES.items():
        (folder / name).write_text(made())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
