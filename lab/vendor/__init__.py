"""The lab's vendor: its application, the archives it ships, and its database's SQL."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "sql"
SQL = {
    "postgres": _FOLDER / "postgres",
    "mysql": _FOLDER / "mariadb",
    "mariadb": _FOLDER / "mariadb",
}
"""The folder of the vendor's SQL files for each engine."""
