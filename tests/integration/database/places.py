"""A database server that runs, and one test's own place on it."""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pg8000.native
import pymysql
from pydantic import SecretStr

from lab.machines.certificates import Authority
from portway.database.admin import Access
from portway.database.session import Server
from portway.database.state import POSTGRES, NodeLogins, SqlFile, WantedDatabase
from portway.model.login import Login

HOST = "db.test"
MASTER = "portway"
_numbers = count(1)


@dataclass(frozen=True)
class RunningServer:
    """A database server, and how its all-powerful user asks it things."""

    engine: str
    port: int
    folder: Path
    socket: Path
    authority: Authority
    master_password: str
    log: Path

    def ask(self, statement: str, database: str = "") -> Sequence[Sequence[Any]]:
        """Run a statement as the server's own superuser, past all of Portway."""
        if self.engine == POSTGRES:
            pg = pg8000.native.Connection(
                "super", database=database or "postgres", unix_sock=str(self.socket)
            )
            try:
                return list(pg.run(statement) or ())
            finally:
                pg.close()
        with (
            pymysql.connect(
                unix_socket=str(self.socket), user="root", autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            if database:
                cursor.execute(f"USE `{database}`")
            cursor.execute(statement)
            return list(cursor.fetchall())

    def new_place(self, **changes: Any) -> "Place":
        """A database as RDS makes one for a stack, and what is wanted of it."""
        number = next(_numbers)
        database = f"messages{number}"
        owner = f" OWNER {MASTER}" if self.engine == POSTGRES else ""
        self.ask(f"CREATE DATABASE {database}{owner}")
        wanted = WantedDatabase(
            engine=self.engine,
            database=database,
            schema="messages" if self.engine == POSTGRES else database,
            user=f"application{number}",
        )
        return Place(self, replace(wanted, **changes), secrets.token_hex(20))


@dataclass
class Place:
    """One test's own database and application user on a server."""

    server: RunningServer
    wanted: WantedDatabase
    password: str
    nodes: NodeLogins = field(default_factory=NodeLogins)
    """Which logins the application nodes use."""

    def access(self, **changes: Any) -> Access:
        """What Portway is given to reach it, with parts replaced for a test."""
        server = Server(
            engine=self.server.engine,
            address=HOST,
            port=self.server.port,
            ca_file=self.server.authority.file,
            via="app-1",
            open_stream=lambda: socket.create_connection(
                ("127.0.0.1", self.server.port), 5
            ),
            sleep=lambda _: None,
        )
        given = {"master_password": self.server.master_password} | changes
        master = Login(MASTER, SecretStr(given.pop("master_password")))
        progress: list[str] = []
        return Access(
            server=replace(server, **given),
            read_master=lambda: master,
            application=Login(self.wanted.user, SecretStr(self.password)),
            read_nodes=lambda: self.nodes,
            progress=progress.append,
        )

    def used_by(self, **users: str) -> None:
        """Have each application node use some of the logins, named by digits."""
        logins = {"1": self.wanted.user, "2": self.wanted.second}
        self.nodes = NodeLogins(
            {
                name.replace("_", "-"): frozenset(logins[digit] for digit in digits)
                for name, digits in users.items()
            }
        )

    def connected(self, user: str | None = None, database: str | None = None) -> Any:
        """A connection of the application's, as one of its users."""
        database = self.wanted.database if database is None else database
        if self.server.engine == POSTGRES:
            return pg8000.native.Connection(
                user or self.wanted.user,
                host="127.0.0.1",
                port=self.server.port,
                database=database,
                password=self.password,
                ssl_context=True,
            )
        return pymysql.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=user or self.wanted.user,
            password=self.password,
            database=database or None,
            autocommit=True,
        )

    def as_application(
        self, statement: str, database: str | None = None, user: str | None = None
    ) -> Any:
        """Run a statement as the application does; raises what its driver raises."""
        connection = self.connected(user, database)
        try:
            if self.server.engine == POSTGRES:
                return connection.run(statement)
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()


def sql_file(name: str, text: str) -> SqlFile:
    """A vendor's file; its sum here only has to differ when its text does."""
    return SqlFile(name, secrets_free_sum(text), text)


def secrets_free_sum(text: str) -> str:
    """A stand-in for a checksum."""
    return f"{hash(text) & (1 << 60) - 1:064x}"
