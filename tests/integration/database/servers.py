"""Starts real database servers: on loopback, in a folder of their own, with TLS."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pg8000.native
import pymysql

from lab.machines.certificates import Authority
from lab.plan.files import write_whole
from portway.database.state import MARIADB, POSTGRES
from tests.integration.database.places import HOST, MASTER, RunningServer
from tests.integration.ports import free_port


@contextmanager
def _folder_for(user: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder that a user can reach, and what makes a process run as that user.

    Database servers refuse to run as root.
    """
    folder = Path(tempfile.mkdtemp(prefix="portway-db-"))
    as_user: dict[str, Any] = {}
    try:
        folder.chmod(0o755)
        if os.geteuid() == 0:
            as_user = {"user": user, "group": user, "extra_groups": []}
            shutil.chown(folder, user, user)
        yield folder, as_user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    command: Sequence[str],
    log: Path,
    as_user: dict[str, Any],
    stop: signal.Signals,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server; ``stop`` ends it at once, whoever is connected, with its children."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=log.parent, **as_user
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


def _certificate(folder: Path, user: str) -> tuple[Authority, Path, Path]:
    authority = Authority(folder / "authority")
    authority.ensure()
    authority.folder.chmod(0o755)
    certificate, key = folder / "server.crt", folder / "server.key"
    texts = authority.issue(HOST)
    write_whole(certificate, texts[0])
    write_whole(key, texts[1], 0o600)
    if os.geteuid() == 0:
        shutil.chown(key, user, user)
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


@contextmanager
def running_postgres() -> Iterator[RunningServer]:
    """A PostgreSQL server whose master may do what RDS's may: no superuser."""
    programs = max(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name)
    )
    with _folder_for("postgres") as (folder, as_user):
        authority, certificate, key = _certificate(folder, "postgres")
        data, port = folder / "data", free_port()
        subprocess.run(
            [
                str(programs / "initdb"),
                f"--pgdata={data}",
                *("--username=super", "--encoding=UTF8", "--no-locale", "--no-sync"),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **as_user,
        )
        (data / "pg_hba.conf").write_text(
            "local all super trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": str(certificate),
            "ssl_key_file": str(key),
            "log_statement": "all",  # so that tests can look for passwords in it
            "max_connections": "30",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        server = RunningServer(
            engine=POSTGRES,
            port=port,
            folder=folder,
            socket=folder / f".s.PGSQL.{port}",
            authority=authority,
            master_password=secrets.token_hex(16),
            log=folder / "server.log",
        )
        command = [str(programs / "postgres"), "-D", str(data), *options]
        # The signal that does not wait for sessions to end by themselves.
        with _running(command, server.log, as_user, signal.SIGQUIT) as process:
            _wait_until_it_answers(server, process)
            server.ask(
                f"CREATE ROLE {MASTER} LOGIN CREATEROLE CREATEDB "
                f"PASSWORD '{server.master_password}'"
            )
            yield server


RDS_MASTER_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, "
    "ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
"""What RDS gives the master user of MariaDB; neither SUPER nor FILE."""


@contextmanager
def running_mariadb() -> Iterator[RunningServer]:
    """A MariaDB server whose master may do what RDS's may."""
    with _folder_for("mysql") as (folder, as_user):
        authority, certificate, key = _certificate(folder, "mysql")
        data = folder / "data"
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **as_user,
        )
        server = RunningServer(
            engine=MARIADB,
            port=free_port(),
            folder=folder,
            socket=folder / "mariadb.sock",
            authority=authority,
            master_password=secrets.token_hex(16),
            log=folder / "server.log",
        )
        settings = {
            "datadir": data,
            "socket": server.socket,
            "port": server.port,
            "bind-address": "127.0.0.1",
            "pid-file": folder / "pid",
            "skip-name-resolve": "on",
            "ssl-cert": certificate,
            "ssl-key": key,
            "general-log": "on",  # so that tests can look for passwords in it
            "general-log-file": folder / "statements.log",
            "innodb-flush-log-at-trx-commit": "0",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        program = shutil.which("mariadbd", path="/usr/sbin:/usr/bin") or "mariadbd"
        command = [program, "--no-defaults", *options]
        with _running(command, server.log, as_user, signal.SIGKILL) as process:
            _wait_until_it_answers(server, process)
            server.ask("DROP USER ''@'localhost'") if _anonymous(server) else None
            server.ask(
                f"CREATE USER {MASTER}@'%' IDENTIFIED BY '{server.master_password}'"
            )
            server.ask(
                f"GRANT {RDS_MASTER_RIGHTS} ON *.* TO {MASTER}@'%' WITH GRANT OPTION"
            )
            yield server


def _anonymous(server: RunningServer) -> bool:
    """Whether the server lets anyone in; RDS's does not."""
    return bool(server.ask("SELECT 1 FROM mysql.user WHERE User = '' LIMIT 1"))
