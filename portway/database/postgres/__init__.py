"""PostgreSQL: its dialect, its catalogue, sessions with it, SQL files for it."""
