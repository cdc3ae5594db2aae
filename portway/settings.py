"""What people decide, apart from the clients: every setting, typed and explained.

Pure. Settings are the variables of the files in ``group_data/``; this is the only
place where they are declared.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from portway.clients import Balance, Port, Seconds
from portway.errors import model_problems, refuse_if_any

SOURCE = "group_data"
RESERVED_SCHEMAS = (
    "information_schema",
    "mysql",
    "performance_schema",
    "portway",
    "rdsadmin",
    "sys",
)


def _schema_name(value: str) -> str:
    """The name, if every engine takes it as it is and none keeps it for itself."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value):
        raise ValueError(
            f'"{value}" is not a schema name; use up to 63 small letters, digits and '
            "underscores, the first a letter"
        )
    if value in RESERVED_SCHEMAS or value.startswith("pg_"):
        raise ValueError(f'"{value}" is kept for the database; choose another')
    return value


class Settings(BaseModel):
    """The settings of one environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    clients_file: str = Field(
        description="JSON file with the clients, relative to the project's folder."
    )
    balance: Balance = Field(
        default="leastconn",
        description="How connections are spread over the application nodes.",
    )
    idle_timeout: Seconds = Field(
        default=86_400,
        description="Seconds without a byte after which a stream is closed. Dead peers "
        "are found by TCP keepalives within 2 minutes, whatever this says.",
    )
    connect_timeout: Seconds = Field(
        default=5,
        description="Seconds an application node may take to accept a connection.",
    )
    max_connections: Annotated[int, Field(ge=100, le=500_000)] = Field(
        default=8_000,
        description="Connections that one load balancer serves at once, all clients "
        "together; each takes two descriptors and its buffers.",
    )
    threads: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Threads of HAProxy; memory grows with them."
    )
    hard_stop_after: Seconds = Field(
        default=604_800,
        description="Seconds after a reload at which the streams that it left to the "
        "old process are closed. A reload itself cuts none.",
    )
    health_path: (
        Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9/_.~%?=&-]*$")] | None
    ) = Field(
        default="/health",
        description="Path asked of the application's health port, where status 200 "
        "means healthy; `None` to only connect.",
    )
    health_interval: Annotated[int, Field(ge=1, le=60)] = Field(
        default=2, description="Seconds between two health checks of a node."
    )
    health_fall: Annotated[int, Field(ge=1, le=20)] = Field(
        default=3, description="Failed checks after which a node gets no traffic."
    )
    health_rise: Annotated[int, Field(ge=1, le=20)] = Field(
        default=2, description="Good checks after which it gets traffic again."
    )
    reserved_ports: Annotated[tuple[Port, ...], Field(strict=False)] = Field(
        default=(),
        description="Ports that other programs on the load balancers listen on, such "
        "as a monitoring agent; no client may have them.",
    )
    virtual_router_id: Annotated[int, Field(ge=1, le=255)] = Field(
        default=51, description="VRRP's number for this pair of load balancers."
    )
    advert_interval: Annotated[float, Field(ge=0.1, le=10, multiple_of=0.01)] = Field(
        default=1.0, description="Seconds between two VRRP adverts of the master."
    )
    master_priority: int = Field(
        default=151, description="VRRP priority of the master of record."
    )
    backup_priority: int = Field(
        default=150, description="VRRP priority of the other load balancer."
    )
    check_weight: Annotated[int, Field(ge=-253, le=253)] = Field(
        default=-20,
        description="What a failing check of HAProxy adds to a node's priority.",
    )
    verify_timeout: Annotated[int, Field(ge=5, le=600)] = Field(
        default=30,
        description="Seconds a changed load balancer may take to serve all clients.",
    )

    database_ca_file: str | None = Field(
        default=None,
        description="File with the authorities that the database's TLS certificate may "
        "be from, which `db.py` needs; for RDS `global-bundle.pem`, to which AWS's "
        "documentation on TLS with RDS links.",
    )
    database_schema: Annotated[str, AfterValidator(_schema_name)] = Field(
        default="messages",
        description="The application's schema in the database; with MySQL and MariaDB, "
        "which have none, the database itself.",
    )
    database_app_creates_tables: bool = Field(
        default=False,
        description="Whether the application makes tables by itself, so that its user "
        "may create them in its schema. Otherwise only the SQL files make tables.",
    )
    database_sql_dir: str | None = Field(
        default=None,
        description="Folder of the vendor's SQL files (`*.sql`), relative to the "
        "project's folder; each is applied once, in the order of their names.",
    )
    database_sql_timeout: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=3_600,
        description="Seconds that one statement of an SQL file may take.",
    )

    @property
    def clients_path(self) -> Path:
        """The clients file as a path."""
        return Path(self.clients_file)


def settings_from(data: Mapping[str, object]) -> Settings:
    """Settings from the variables of ``group_data/`` (and ``--data``).

    Connection settings (``ssh_…``) and private names (``_…``) are pyinfra's own and
    pass. Raises PortwayError with every unknown or unfit one.
    """
    own = {k: v for k, v in data.items() if not k.startswith(("ssh_", "_"))}
    try:
        return Settings.model_validate(own)
    except ValidationError as error:
        refuse_if_any(model_problems(error, SOURCE, "", Settings.model_fields))
        raise
