"""MySQL and MariaDB: their dialect, catalogue, sessions and SQL files."""
