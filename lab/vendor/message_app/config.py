"""Reads the configuration file, and the faults that a test asks for."""

import json
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Database:
    """Where messages are stored, and as whom."""

    engine: str
    host: str
    port: int
    name: str
    schema: str
    user: str
    password: str = field(repr=False)
    ca: str
    """File with the authority that the server's certificate must come from; empty to
    connect without TLS."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One client's port; a client may have several."""

    client: str
    """Whose messages come in on it: the section's name, or its ``client``."""
    port: int
    mode: str
    proxy: bool
    """Whether each connection begins with a PROXY protocol v2 header."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration file."""

    node: str
    health_port: int
    database: Database
    listeners: tuple[Listener, ...]


def read_config(path: Path) -> Config:
    """The configuration in a file; KeyError or ValueError if it is not one."""
    parser = RawConfigParser()
    with path.open(encoding="utf-8") as file:
        parser.read_file(file)
    database = parser["database"]
    return Config(
        node=parser["application"]["node"],
        health_port=int(parser["application"]["health_port"]),
        database=Database(
            engine=database["engine"],
            host=database["host"],
            port=int(database["port"]),
            name=database["name"],
            schema=database["schema"],
            user=database["user"],
            password=database["password"],
            ca=database["ca"],
        ),
        listeners=tuple(
            Listener(
                client=parser[section].get("client") or section.removeprefix("client "),
                port=int(parser[section]["port"]),
                mode=parser[section]["mode"],
                proxy=parser[section]["proxy"] == "yes",
            )
            for section in parser.sections()
            if section.startswith("client ")
        ),
    )


class Faults:
    """What a test asks to go wrong, read anew whenever its file changes.

    A JSON object: ``start_delay`` (seconds before anything listens), ``before_commit``
    and ``before_ack`` (seconds each message waits there), ``refuse`` (true: negative
    acknowledgements, nothing stored), ``reconnect`` (true: a new database connection
    for each message), ``health`` (a status to answer) and ``crash`` (``before_commit``
    or ``before_ack``: the process ends there, as if killed).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._values: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """The value asked for, or None."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._seen:
                self._values = json.loads(self._path.read_text())
                self._seen = changed
        except (OSError, ValueError):
            self._values, self._seen = {}, 0
        return self._values.get(name)
