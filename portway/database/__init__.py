"""The stack's database: its schema, the application's user and rights, the SQL files.

What is said to a server is in ``postgres/`` and ``mysql/``, which have the same shape;
nothing outside them knows an engine's SQL. No value here prints a password.
"""
