"""The database behind RDS: a real server on the database's host.

Its certificate is from the lab's authority, and its master user may do what RDS's
may: make databases, roles and users, but not be superuser.
"""

import json
import os
from pathlib import Path

from lab.aws import stack
from lab.errors import LabError
from lab.ground import shell
from lab.machines import hosts
from lab.machines.certificates import Authority
from lab.plan.files import write_whole
from lab.plan.names import Lab
from lab.plan.records import Host

POSTGRES, MARIADB = "postgres", "mariadb"
UNITS = {POSTGRES: "postgresql", MARIADB: "mariadb"}

_TLS = "/etc/database-tls"

_POSTGRES_CONF = f"""\
listen_addresses = '*'
max_connections = 200
ssl = on
ssl_cert_file = '{_TLS}/server.crt'
ssl_key_file = '{_TLS}/server.key'
# As in the default parameter groups of RDS.
tcp_keepalives_idle = 300
tcp_keepalives_interval = 30
tcp_keepalives_count = 2
"""

_POSTGRES_HBA = """\
local   all postgres peer
hostssl all all all  scram-sha-256
"""

_MARIADB_CONF = f"""\
[mariadbd]
bind-address = 0.0.0.0
skip-name-resolve
max_connections = 200
ssl-cert = {_TLS}/server.crt
ssl-key = {_TLS}/server.key
"""

_MARIADB_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, "
    "ALTER, SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
"""What RDS gives the master user of MariaDB; neither SUPER nor FILE."""

_SERVER_USERS = {POSTGRES: "postgres", MARIADB: "mysql"}


def configure(lab: Lab, host: Host, engine: str, authority: Authority) -> None:
    """Write the server's configuration and certificate to a host that is off."""
    root = hosts.root(lab, host)
    name, _ = stack.database_endpoint(host.instance_id)
    certificate, key = authority.issue(name)
    tls = root / _TLS.lstrip("/")
    tls.mkdir(exist_ok=True)
    write_whole(tls / "server.crt", certificate)
    write_whole(tls / "server.key", key, 0o600)
    user, group = _ids(root, _SERVER_USERS[engine])
    os.chown(tls / "server.key", user, group)
    if engine == POSTGRES:
        (cluster,) = (root / "etc" / "postgresql").glob("*/main")
        (cluster / "conf.d").mkdir(exist_ok=True)
        write_whole(cluster / "conf.d" / "lab.conf", _POSTGRES_CONF)
        (cluster / "pg_hba.conf").write_text(_POSTGRES_HBA)
    else:
        folder = root / "etc" / "mysql" / "mariadb.conf.d"
        write_whole(folder / "99-lab.cnf", _MARIADB_CONF)
    unit = f"{UNITS[engine]}.service"
    wants = root / "etc" / "systemd" / "system" / "multi-user.target.wants"
    (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")


def provision(lab: Lab, host: Host, engine: str) -> None:
    """Make the master user and the first database, as RDS does, once per server."""
    database = stack.database(host.instance_id)
    content = stack.secret(database["MasterUserSecret"]["SecretArn"])
    master = json.loads(content)
    words = (master["username"], database.get("DBName", "messages"))
    if not all(word.isidentifier() for word in words):
        raise LabError(f"the lab takes plain names only, not {' and '.join(words)}")
    if engine == POSTGRES:
        _provision_postgres(lab, host, *words, master["password"])
    else:
        _provision_mariadb(lab, host, *words, master["password"])


def _provision_postgres(
    lab: Lab, host: Host, user: str, database: str, password: str
) -> None:
    psql = ["runuser", "-u", "postgres", "--", "psql", "-qtAX", "-v", "ON_ERROR_STOP=1"]
    present = shell.output(
        hosts.inside(lab, host, psql),
        stdin="SELECT rolname FROM pg_roles",
    )
    if user in present.splitlines():
        return
    shell.output(
        hosts.inside(lab, host, psql),
        stdin=f"CREATE ROLE {user} LOGIN CREATEROLE CREATEDB "
        f"PASSWORD {_literal(password)};\n"
        f"GRANT pg_monitor TO {user};\n"  # rds_superuser has it
        f"CREATE DATABASE {database} OWNER {user};\n",
    )


def _provision_mariadb(
    lab: Lab, host: Host, user: str, database: str, password: str
) -> None:
    shell.output(
        hosts.inside(lab, host, ["mariadb", "--skip-ssl"]),
        stdin=f"CREATE USER IF NOT EXISTS {user}@'%' "
        f"IDENTIFIED BY {_literal(password)};\n"
        f"GRANT {_MARIADB_RIGHTS} ON *.* TO {user}@'%' WITH GRANT OPTION;\n"
        f"CREATE DATABASE IF NOT EXISTS {database};\n",
    )


def _literal(text: str) -> str:
    """A text as SQL, for passwords of letters and digits as the lab's AWS makes."""
    if not text.isalnum():
        raise LabError("the lab takes master passwords of letters and digits only")
    return f"'{text}'"


def _ids(root: Path, name: str) -> tuple[int, int]:
    """The numbers of a host's user and its group."""
    for line in (root / "etc" / "passwd").read_text().splitlines():
        user, _, uid, gid, *_ = line.split(":")
        if user == name:
            return int(uid), int(gid)
    raise LabError(f"the image has no user {name}")
