"""Starts real database servers: on loopback, in a folder of their own, with TLS."""

import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pg8000.native
import pymysql

from lab.machines.certificates import Authority
from lab.plan.files import write_whole
from portway.database.state import MARIADB, MYSQL, POSTGRES
from tests.integration.database.places import HOST, MASTER, RunningServer
from tests.integration.database.programs import (
    Programs,
    of_this_machine,
    of_unstable,
)
from tests.integration.ports import free_port


@contextmanager
def _running(
    programs: Programs, command: Sequence[str], log: Path, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    """A server; ``stop`` ends it at once, whoever is connected, with its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=log.parent, **programs.as_owner
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _certificate(folder: Path, programs: Programs) -> tuple[Authority, Path, Path]:
    authority = Authority(folder / "authority")
    authority.ensure()
    authority.folder.chmod(0o755)
    certificate, key = folder / "server.crt", folder / "server.key"
    texts = authority.issue(HOST)
    write_whole(certificate, texts[0])
    write_whole(key, texts[1], 0o600)
    programs.give(key)
    return authority, certificate, key


def _wait_until_it_answers(
    server: RunningServer, process: subprocess.Popen[bytes]
) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            server.ask("SELECT 1")
            return
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError):
            pass
        except pymysql.err.MySQLError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"no server: {server.log.read_text()}")
        time.sleep(0.05)


def _options(settings: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in settings.items()]


@contextmanager
def running_postgres(programs: Programs) -> Iterator[RunningServer]:
    """A PostgreSQL server whose master may do what RDS's may: no superuser."""
    with programs.new_folder() as folder:
        authority, certificate, key = _certificate(folder, programs)
        data, port = folder / "data", free_port()
        programs.run(
            "initdb",
            f"--pgdata={data}",
            *("--username=super", "--encoding=UTF8", "--no-locale", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256"),
        )
        (data / "pg_hba.conf").write_text(
            "local all super trust\nhostssl all all 127.0.0.1/32 md5\n"
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": certificate,
            "ssl_key_file": key,
            "log_statement": "all",  # so that tests can look for passwords in it
            "max_connections": 30,
        }
        server = RunningServer(
            engine=POSTGRES,
            port=port,
            folder=folder,
            socket=folder / f".s.PGSQL.{port}",
            authority=authority,
            master_password=secrets.token_hex(16),
            log=folder / "server.log",
        )
        command = programs.command("postgres", "-D", data, *_options(settings))
        # The signal that does not wait for sessions to end by themselves.
        with _running(programs, command, server.log, signal.SIGQUIT) as process:
            _wait_until_it_answers(server, process)
            server.ask(
                f"CREATE ROLE rds_superuser; GRANT pg_monitor, pg_signal_backend "
                f"TO rds_superuser WITH ADMIN OPTION; "
                f"CREATE ROLE {MASTER} LOGIN CREATEROLE CREATEDB IN ROLE rds_superuser "
                f"PASSWORD '{server.master_password}'"
            )
            yield server


def running_postgres_of_this_machine() -> Iterator[RunningServer]:
    """The newest PostgreSQL that this machine has."""
    folder = max(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name)
    )
    with running_postgres(of_this_machine(folder, "postgres")) as server:
        yield server


def running_postgres_18() -> Iterator[RunningServer]:
    """PostgreSQL 18."""
    folder = Path("/usr/lib/postgresql/18/bin")
    with running_postgres(of_unstable(folder, "postgres")) as server:
        yield server


RDS_MASTER_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, "
    "ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
"""What RDS gives the master user of both; neither SUPER nor FILE."""
RDS_ROLE_RIGHTS = (
    "CREATE ROLE, DROP ROLE, APPLICATION_PASSWORD_ADMIN, ROLE_ADMIN, XA_RECOVER_ADMIN"
)
"""What it gives MySQL's in addition, by a role."""

_MYSQL_SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "on",
    "general-log": "on",  # so that tests can look for passwords in it
    "log-bin": "binlog",  # as on RDS with backups
    "server-id": 1,
    "sync-binlog": 0,
    "innodb-flush-log-at-trx-commit": 0,
    "innodb-buffer-pool-size": "32M",
    "performance-schema": "off",
}


@contextmanager
def _running_mysql(
    engine: str, programs: Programs, folder: Path, **more: object
) -> Iterator[RunningServer]:
    """A server of either kind, whose data is in the folder ``data`` already."""
    authority, certificate, key = _certificate(folder, programs)
    server = RunningServer(
        engine=engine,
        port=free_port(),
        folder=folder,
        socket=folder / "server.sock",
        authority=authority,
        master_password=secrets.token_hex(16),
        log=folder / "server.log",
    )
    settings = _MYSQL_SETTINGS | {
        "datadir": folder / "data",
        "socket": server.socket,
        "port": server.port,
        "pid-file": folder / "pid",
        "ssl-cert": certificate,
        "ssl-key": key,
        "general-log-file": folder / "statements.log",
        **more,
    }
    name = "mariadbd" if engine == MARIADB else "mysqld"
    command = programs.command(name, "--no-defaults", *_options(settings))
    with _running(programs, command, server.log, signal.SIGKILL) as process:
        _wait_until_it_answers(server, process)
        if server.ask("SELECT 1 FROM mysql.user WHERE User = '' LIMIT 1"):
            server.ask("DROP USER ''@'localhost'")  # RDS lets nobody in like that
        server.ask(f"CREATE USER {MASTER}@'%' IDENTIFIED BY '{server.master_password}'")
        server.ask(
            f"GRANT {RDS_MASTER_RIGHTS} ON *.* TO {MASTER}@'%' WITH GRANT OPTION"
        )
        yield server


def running_mariadb() -> Iterator[RunningServer]:
    """A MariaDB server whose master may do what RDS's may."""
    programs = of_this_machine(Path("/usr/sbin"), "mysql")
    install = of_this_machine(Path("/usr/bin"), "mysql")
    with programs.new_folder() as folder:
        install.run(
            "mariadb-install-db",
            *("--no-defaults", f"--datadir={folder / 'data'}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db"),
        )
        with _running_mysql(MARIADB, programs, folder) as server:
            yield server


def running_mysql() -> Iterator[RunningServer]:
    """A MySQL server whose master may do what RDS's may."""
    programs = of_unstable(Path("/usr/sbin"), "mysql")
    with programs.new_folder() as folder:
        programs.run(
            "mysqld",
            *("--no-defaults", "--initialize-insecure", f"--datadir={folder / 'data'}"),
            "--innodb-redo-log-capacity=8M",
        )
        with _running_mysql(
            MYSQL, programs, folder, mysqlx="off", **{"innodb-doublewrite": "off"}
        ) as server:
            server.ask("CREATE ROLE rds_superuser_role")
            server.ask(f"GRANT {RDS_ROLE_RIGHTS} ON *.* TO rds_superuser_role")
            server.ask(f"GRANT rds_superuser_role TO {MASTER} WITH ADMIN OPTION")
            server.ask(f"SET DEFAULT ROLE ALL TO {MASTER}")
            yield server
