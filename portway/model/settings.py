"""What people decide, apart from the clients: every setting, typed and explained.

Settings are the variables of the files in ``group_data/``. They are declared here and
nowhere else; ``docs/reference.md`` is generated from this file.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from portway.errors import GROUP_DATA, refuse_if_any
from portway.model.fields import (
    LONGEST_TIMEOUT,
    Address,
    AppName,
    Balance,
    Capability,
    CommandLine,
    Folder,
    HostName,
    Network,
    OneLine,
    OutsidePath,
    PathPattern,
    Port,
    ReloadCommand,
    RepositoryPath,
    SchemaName,
    Seconds,
    Sha256,
    Version,
)
from portway.model.validation import model_problems


class Settings(BaseModel):
    """The settings of one environment."""

    # Built when first used, so that importing this stays cheap.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, defer_build=True
    )

    clients_file: str = Field(
        description="JSON file with the clients, relative to the project's folder."
    )
    balance: Balance = Field(
        default="leastconn",
        description="How connections are spread over the application nodes.",
    )
    idle_timeout: Seconds = Field(
        default=86_400,
        description="Seconds without a byte after which a TCP stream is closed. Dead "
        "peers are found within 2 minutes in any case.",
    )
    http_timeout: Seconds = Field(
        default=60,
        description="Seconds that an HTTP client's request, or the next byte of its "
        "answer, may take; a request that gets no answer is answered with 504.",
    )
    connect_timeout: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=0.5,
        description="Seconds an application node may take to accept a connection; then "
        "another one is asked.",
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
        description="Seconds after a reload until the streams that stayed in the old "
        "process are closed, whatever they are doing. A reload itself closes none.",
    )
    retire_after: Annotated[int, Field(ge=0, le=LONGEST_TIMEOUT)] | None = Field(
        default=60,
        description="Seconds without a byte after which a stream that a reload left in "
        "an older HAProxy process is closed, if its last byte came from the "
        "application, so that no answer is outstanding; its client reconnects to the "
        "newest process. Clients of mode `tcp` only. `0` or `None` for never.",
    )
    health_path: (
        Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9/_.~%?=&-]*$")] | None
    ) = Field(
        default="/health",
        description="Path requested on the application's health port; status 200 means "
        "healthy. `None` to only connect.",
    )
    health_host: HostName = Field(
        default="localhost",
        description="Host header of that request, for applications that answer only to "
        "names they know.",
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
        "as a monitoring agent; no client may use them.",
    )
    stats_allow: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        default=(),
        description="Networks (CIDR), besides the stack's `OperatorCidr`, from which "
        "the load balancers' statistics and metrics may be read, such as that of "
        "Prometheus. The security group must admit them, too.",
    )
    virtual_router_id: Annotated[int, Field(ge=1, le=255)] = Field(
        default=51, description="VRRP router id of this pair of load balancers."
    )
    advert_interval: Annotated[float, Field(ge=0.1, le=10, multiple_of=0.01)] = Field(
        default=0.3,
        description="Seconds between two VRRP adverts of the master. A backup that "
        "hears none for three and a half times as long takes over.",
    )
    fail_back: Annotated[int, Field(ge=0, le=86_400)] | None = Field(
        default=60,
        description="Seconds for which the master of record must serve after a "
        "fail-over until it takes the address back, which cuts all streams once more; "
        "0 for at once, `None` for not before `deploys/transfer.py` does it.",
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
    address_check_interval: Annotated[float, Field(ge=1, le=60)] = Field(
        default=5.0,
        description="Seconds between two checks by the VRRP master of where the "
        "address points in AWS.",
    )
    transfer_to: str | None = Field(
        default=None,
        description="Load balancer that `deploys/transfer.py` hands the address to; "
        "given on the command line with `--data`.",
    )
    lease_expiry: Annotated[int, Field(ge=6, le=600)] = Field(
        default=60,
        description="Seconds after which a run that died no longer keeps others from "
        "the nodes. A run that lives renews its lease three times as often.",
    )
    lease_wait: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0,
        description="Seconds to wait for another run that is alive before this one "
        "gives up; one that died is waited out in any case.",
    )
    tunnel_command: OneLine | None = Field(
        default=None,
        description="Command whose input and output are an SSH connection to a node, "
        "for networks without a way to private addresses. `{instance_id}`, `{name}`, "
        "`{address}`, `{port}` and `{region}` are filled in. It goes before "
        "`ProxyCommand` and `ProxyJump` in `~/.ssh/config`.",
    )
    boot_timeout: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=300,
        description="Seconds after an instance was started for which a run waits for "
        "its SSH server.",
    )
    trust_console_output: bool = Field(
        default=False,
        description="Whether a run records the SSH host keys of nodes that it does not "
        "know yet, as EC2's console shows them, as `portway trust` does. Otherwise it "
        "refuses such nodes.",
    )
    go_back: bool = Field(
        default=False,
        description="Whether a run may take nodes back to an older checkout than the "
        "one they were deployed from, without asking; given on the command line with "
        "`--data`.",
    )
    verify_timeout: Annotated[int, Field(ge=5, le=600)] = Field(
        default=30,
        description="Seconds a changed load balancer may take to serve all clients.",
    )
    pair_timeout: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=300,
        description="Seconds after which a load balancer that deploys to itself and "
        "holds the address goes on without its standby, if that has said nothing of "
        "the same configuration.",
    )
    agent_interval: Annotated[int, Field(ge=60, le=1800)] = Field(
        default=1800,
        description="Seconds between two runs of a node that deploys to itself while "
        "nothing fails or changes in AWS; `deploys/agent.py` sets up its timer.",
    )
    agent_look_interval: Annotated[int, Field(ge=30, le=600)] = Field(
        default=60,
        description="Seconds between two looks of such a node: whether it is "
        "time for a run, or something has changed in AWS.",
    )
    release_signers_file: str | None = Field(
        default=None,
        description="File in the format of OpenSSH's `allowed_signers`: nodes that "
        "deploy to themselves then take only releases that one of these has signed; "
        "`deploys/agent.py` brings it to them.",
    )
    app_name: AppName = Field(
        default="message-app",
        description="The application's name, and that of its unit, `/opt/NAME` and "
        "`/etc/NAME`.",
    )
    app_version: Version | None = Field(
        default=None,
        description="Version that every application node runs. Setting an earlier one "
        "goes back to it. `deploys/app.py` needs it.",
    )
    app_command: CommandLine = Field(
        default="bin/message-app --config {config}",
        description="Program inside the release that systemd starts, and its "
        "arguments; `{config}` stands for the configuration file.",
    )
    app_reload_command: ReloadCommand | None = Field(
        default=None,
        description="Command that makes the running application take over its whole "
        "configuration file, such as `kill -HUP $MAINPID`: new ports, removed ones, a "
        "new database login; `$MAINPID` stands for its process id. A change of that "
        "file alone then drains no node. If absent, the application is restarted.",
    )
    app_test_command: CommandLine | None = Field(
        default=None,
        description="Program inside the release, and its arguments, that sends a test "
        "message to the node it runs on and succeeds if it is acknowledged; `{port}` "
        "stands for the port of the first client with mode `tcp` and without "
        "`send_proxy`. A changed node that fails it gets no traffic.",
    )
    app_start_timeout: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=60,
        description="Seconds a started application may take until it is healthy.",
    )
    app_batch: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="Application nodes that are taken out of service at once to be "
        "changed.",
    )
    app_writable_folders: Annotated[tuple[Folder, ...], Field(strict=False)] = Field(
        default=(),
        description="Folders that the application may write to, besides "
        "`/var/lib/NAME`, `/var/log/NAME` and `/var/cache/NAME`, which it is given.",
    )
    app_capabilities: Annotated[tuple[Capability, ...], Field(strict=False)] = Field(
        default=("CAP_NET_BIND_SERVICE",),
        description="Linux capabilities that the service keeps (capabilities(7)).",
    )
    drain_timeout: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=30,
        description="Seconds that a node's streams get to end by themselves before "
        "they are closed and the node is changed. Clients with permanent streams use "
        "all of it, once for each node.",
    )
    artifactory_url: Address | None = Field(
        default=None,
        description="Address of Artifactory, with its `/artifactory`. The credential "
        "is sent to it and downloads come from it, so use https.",
    )
    artifactory_plain_http: bool = Field(
        default=False,
        description="Whether the credential may be sent to an `artifactory_url` of "
        "plain http, where anybody on the way can read it, and whether a SHA-256 may "
        "come by a redirect from https to plain http, where anybody can change it.",
    )
    artifactory_ca_file: str | None = Field(
        default=None,
        description="File with the certificates (PEM) of your own authorities that may "
        "have issued Artifactory's, relative to the project's folder; this machine and "
        "the nodes take them besides their own.",
    )
    artifactory_repository: RepositoryPath | None = Field(
        default=None, description="Repository that holds the application's archives."
    )
    artifact_path: PathPattern = Field(
        default="{name}/{version}/{name}-{version}.tar.gz",
        description="Path of an archive (tar, also compressed by gzip, bzip2 or xz, or "
        "zip) in the repository; `{name}` and `{version}` are filled in.",
    )
    artifact_sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256 that the archive must have; if absent, the one that "
        "Artifactory gives for it.",
    )
    artifact_links: Annotated[tuple[OutsidePath, ...], Field(strict=False)] = Field(
        default=(),
        description="Absolute paths on nodes that symbolic links in the archive may "
        "lead to, or below, such as `/etc/ssl/certs`. Others are refused.",
    )
    artifactory_token_secret: str | None = Field(
        default=None,
        description="Name or ARN of the secret in Secrets Manager with what opens "
        'Artifactory, as JSON: `{"token": "…"}`, `{"username": "…", "password": "…"}` '
        'or `{"api_key": "…"}`. If absent, nothing is sent.',
    )
    keep_releases: Annotated[int, Field(ge=2, le=100)] = Field(
        default=3,
        description="Releases kept on a node, the current and the previous among them.",
    )

    database_ca_file: str | None = Field(
        default=None,
        description="File with the certificate authorities that may have issued the "
        "database's TLS certificate; `db.py` needs it. For RDS it is "
        "`global-bundle.pem`, which AWS's documentation on TLS with RDS links to.",
    )
    database_schema: SchemaName = Field(
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
    def sha256(self) -> str:
        """A hash of what these settings make of nodes, not of how a run does it."""
        one_run = {"go_back", "lease_expiry", "lease_wait", "transfer_to"}
        one_run |= {"boot_timeout", "trust_console_output", "tunnel_command"}
        one_run |= {"agent_interval", "agent_look_interval", "pair_timeout"}
        one_run |= {"release_signers_file"}
        text = self.model_dump_json(exclude=one_run)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def clients_path(self) -> Path:
        return Path(self.clients_file)


def settings_from(
    data: Mapping[str, object], places: Mapping[str, str] | None = None
) -> Settings:
    """Settings from the variables of ``group_data/`` (and ``--data``).

    Connection settings (``ssh_…``) and private names (``_…``) are for pyinfra and are
    skipped. Raises PortwayError with every unknown or invalid one; ``places`` says
    where each is, if that is known.
    """
    own = {k: v for k, v in data.items() if not k.startswith(("ssh_", "_"))}
    try:
        return Settings.model_validate(own)
    except ValidationError as error:
        known = Settings.model_fields
        refuse_if_any(model_problems(error, GROUP_DATA, "", known, places))
        raise
