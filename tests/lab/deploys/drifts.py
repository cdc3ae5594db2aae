"""What people change by hand, and how a look finds it."""

from dataclasses import dataclass, field

from tests.lab.system import System


@dataclass(frozen=True)
class Drift:
    """Something that is changed by hand, and how it is found."""

    where: str
    """A node, or the load balancer that is ``holder`` or ``standby``, or ``aws``."""
    by_hand: str
    """A shell script, the SQL of the database's superuser, or Python with boto3."""
    kind: str
    thing: str
    words: str
    diff: str = ""
    """A part of a line of the diff, if it must have one."""
    node: str | None = field(default=None, kw_only=True)
    """Where it is found, if that is somewhere else."""
    dated: bool = field(default=False, kw_only=True)
    undo: str = field(default="", kw_only=True)
    """The same as ``by_hand`` for what no run mends."""


SERVER_COMMAND = (
    "backend=$(echo 'show servers state' | socat - /run/haproxy/admin.sock | "
    'awk \'$4 == "app-1" {{print $2 "/" $4; exit}}\'); '
    'echo "set server $backend state {}" | socat - /run/haproxy/admin.sock'
)
RELOADED = (
    "cd /etc/portway && cp -a streams.json /root/streams.json && "
    "echo >>streams.json && systemctl restart portway-streams && "
    "cp -a /root/streams.json streams.json"
)
DROP_IN = (
    "d=/etc/systemd/system/{0}.service.d && mkdir -p $d && "
    "printf '[Service]\\nNice=5\\n' >$d/by-hand.conf && systemctl daemon-reload"
)
# Portway's units never give up, so it takes a limit; they have it until the next boot.
CRASHED = (
    "d=/run/systemd/system/{0}.service.d && mkdir -p $d && "
    "printf '[Unit]\\nStartLimitIntervalSec=1h\\nStartLimitBurst=1\\n"
    "[Service]\\nRestartSec=0\\n' >$d/limit.conf && systemctl daemon-reload && "
    "for _ in $(seq 50); do systemctl -q is-failed {0} && break; "
    "systemctl kill -s KILL {0}; sleep 0.1; done; "
    "systemctl -q is-failed {0} && rm -r $d && systemctl daemon-reload"
)
OPEN_SSH = """
import boto3
ec2 = boto3.client("ec2")
(group,) = ec2.describe_security_groups(
    Filters=[{"Name": "tag:portway:role", "Values": ["clients"]}]
)["SecurityGroups"]
ec2.%s_security_group_ingress(
    GroupId=group["GroupId"],
    IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="203.0.113.77/32",
)
"""
POLICY = """
import boto3, json
iam = boto3.client("iam")
(role,) = (
    found["RoleName"] for found in iam.list_roles()["Roles"]
    if "-ApplicationRole-" in found["RoleName"])
statement = {"Sid": "Any", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}
document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
"""
ADD_POLICY = (
    POLICY + "iam.put_role_policy("
    "RoleName=role, PolicyName='by-hand', PolicyDocument=document)"
)
REMOVE_POLICY = POLICY + "iam.delete_role_policy(RoleName=role, PolicyName='by-hand')"
RIGHTS = """
import boto3, json
iam = boto3.client("iam")
for role in (found["RoleName"] for found in iam.list_roles()["Roles"]):
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for statement in policy["Statement"]:
            if statement["Sid"] == "MoveThisAddress":
                statement["Action"] = "ec2:%s"
        iam.put_role_policy(
            RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
"""

DRIFTS = {
    "file edited": Drift(
        "standby",
        "echo '# by hand' >>/etc/haproxy/haproxy.cfg",
        "file",
        "/etc/haproxy/haproxy.cfg",
        "content differs",
        "-# by hand",
        dated=True,
    ),
    "file removed": Drift(
        "standby",
        "rm /etc/needrestart/conf.d/zz-portway.conf",
        "file",
        "/etc/needrestart/conf.d/zz-portway.conf",
        "is missing",
    ),
    "mode changed": Drift(
        "standby",
        "chmod 666 /etc/sysctl.d/60-portway.conf",
        "file",
        "/etc/sysctl.d/60-portway.conf",
        "mode is 666, not 644",
        dated=True,
    ),
    "owner changed": Drift(
        "standby",
        "chown nobody /usr/sbin/policy-rc.d",
        "file",
        "/usr/sbin/policy-rc.d",
        "owner is nobody:root, not root:root",
        dated=True,
    ),
    "stray file": Drift(
        "standby",
        "touch /usr/local/lib/portway/stray.py",
        "file",
        "/usr/local/lib/portway/stray.py",
        "should not be there",
    ),
    "sysctl": Drift(
        "standby",
        "sysctl -qw net.ipv4.tcp_retries2=15",
        "sysctl",
        "net.ipv4.tcp_retries2",
        "is 15, not 7",
    ),
    "service disabled": Drift(
        "standby",
        "systemctl -q disable portway-address",
        "service",
        "portway-address",
        "would not start at boot",
    ),
    "service masked": Drift(
        "standby", "systemctl -q mask haproxy", "service", "haproxy", "is masked"
    ),
    "service overridden": Drift(
        "standby",
        DROP_IN.format("keepalived"),
        "service",
        "keepalived",
        "is overridden by /etc/systemd/system/keepalived.service.d/by-hand.conf",
    ),
    "service stopped": Drift(
        "standby",
        "systemctl stop portway-check",
        "service",
        "portway-check",
        "does not run: inactive",
        dated=True,
    ),
    "service crashed": Drift(
        "standby",
        CRASHED.format("portway-streams"),
        "service",
        "portway-streams",
        "does not run: failed",
        dated=True,
    ),
    "package held": Drift(
        "standby", "apt-mark -q hold socat", "package", "socat", "is held"
    ),
    "package removed": Drift(
        "holder",
        "dpkg --remove --force-depends python3-boto3",
        "package",
        "python3-boto3",
        "is not installed",
    ),
    "process with an older configuration": Drift(
        "holder",
        RELOADED,
        "service",
        "portway-streams",
        "runs with another configuration than its file has",
    ),
    "server in maintenance": Drift(
        "holder",
        SERVER_COMMAND.format("maint"),
        "server",
        "app-1",
        "is drained or in maintenance on",
    ),
    "secret file edited": Drift(
        "app-2",
        "echo '# x' >>/etc/message-app/message-app.conf",
        "file",
        "/etc/message-app/message-app.conf",
        "content differs (secret, not shown)",
        dated=True,
    ),
    "application disabled and overridden": Drift(
        "app-2",
        "systemctl -q disable message-app; " + DROP_IN.format("message-app"),
        "application",
        "message-app",
        "would not start at boot; is overridden by",
    ),
    "release missing": Drift(
        "app-2",
        "rm -r /opt/message-app/releases/1.0.0",
        "release",
        "1.0.0",
        "is not on the node",
    ),
    "right revoked": Drift(
        "db-1",
        "REVOKE UPDATE ON ALL TABLES IN SCHEMA messages FROM $EVERYONE",
        "database",
        "messages",
        "Grant UPDATE",
        node="database",
    ),
    "right added": Drift(
        "db-1",
        "GRANT TRUNCATE ON ALL TABLES IN SCHEMA messages TO $USER",
        "database",
        "messages",
        "Revoke TRUNCATE",
        node="database",
    ),
    "password changed": Drift(
        "db-1",
        "ALTER USER $USER PASSWORD 'by hand'",
        "database",
        "messages",
        "Set the password of the user",
        node="database",
    ),
    "security group opened": Drift(
        "aws",
        OPEN_SSH % "authorize",
        "resource",
        "ClientsSecurityGroup",
        "/SecurityGroupIngress/1 was added",
        "203.0.113.77/32",
        node="",
        undo=OPEN_SSH % "revoke",
    ),
    "right of the role removed": Drift(
        "aws",
        RIGHTS % "DescribeAddresses",
        "address",
        "$ADDRESS",
        "could not take the address",
        node="",
        undo=RIGHTS % "AssociateAddress",
    ),
    "right of a role added": Drift(
        "aws",
        ADD_POLICY,
        "resource",
        "ApplicationRole",
        "policy by-hand was added",
        "s3:*",
        node="",
        undo=REMOVE_POLICY,
    ),
}
MENDED = {name: drift for name, drift in DRIFTS.items() if not drift.undo}
"""Those that a run mends."""


def make(system: System, drift: Drift, where: str = "") -> None:
    """Change something by hand, on another node than usual if one is given."""
    if drift.where == "aws":
        system.python(drift.by_hand)
    elif drift.where == "db-1":
        change_database(system, drift.by_hand)
    else:
        system.node(where or place(system, drift.where), drift.by_hand)


def change_database(system: System, statement: str) -> None:
    """Execute a statement as the superuser of the database."""
    psql = ("runuser", "-u", "postgres", "--", "psql", "-qtAX", "-d", "messages")
    show = "sed -n 's/^user = //p' /etc/message-app/message-app.conf"
    user = system.node("app-1", show).stdout.strip()
    # After a rotation it is the second login, a member of the one that has the rights.
    everyone = f"{user}, {user.removesuffix('_portway')}"
    words = statement.replace("$EVERYONE", everyone).replace("$USER", user)
    system.execute("db-1", *psql, "-c", words)


def place(system: System, where: str) -> str:
    """The node that is meant."""
    return {"holder": system.holder, "standby": system.standby}.get(where, where)
