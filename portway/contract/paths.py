"""Where things are on a node: files, folders and sockets."""

from pathlib import Path

PROGRAM_FOLDER = Path("/usr/local/lib/portway")
PYTHON_FOLDER = PROGRAM_FOLDER / "python"
"""Has a folder for each of Portway's node programs, with the Python modules that it
consists of under the names they have here. Portway owns it: it removes every file in
it that it did not write."""
BEFORE_RELOAD = PROGRAM_FOLDER / "before-reload"
INSTALLER = PROGRAM_FOLDER / "install-release"
ADDRESS_COMMAND = Path("/usr/local/sbin/portway-address")

HAPROXY_CONFIG = Path("/etc/haproxy/haproxy.cfg")
KEEPALIVED_CONFIG = Path("/etc/keepalived/keepalived.conf")
SYSCTL_CONFIG = Path("/etc/sysctl.d/60-portway.conf")
ADDRESS_CONFIG = Path("/etc/portway/address.json")
CHECK_CONFIG = Path("/etc/portway/check.json")
STREAMS_CONFIG = Path("/etc/portway/streams.json")
TRANSFER = Path("/etc/portway/transfer")
"""Contains 1 while this node has handed the address over on purpose. keepalived tracks
it, and it survives a reboot."""
PACKAGE_POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian's packages ask it before their scripts start, stop or restart a service."""
NEEDRESTART_CONFIG = Path("/etc/needrestart/conf.d/zz-portway.conf")
"""The last one, for each may replace what those before it said."""
UNIT_FOLDER = Path("/etc/systemd/system")

ADMIN_SOCKET = Path("/run/haproxy/admin.sock")
"""Of HAProxy's newest worker."""
MASTER_SOCKET = Path("/run/haproxy-master.sock")
"""Of HAProxy's master process, which reaches every worker; Debian's unit opens it."""
LOADED_FOLDER = Path("/run/portway/loaded")
"""Holds the hash of the configuration that each unit loaded, until a reboot."""
LOADED_HAPROXY = LOADED_FOLDER / "haproxy.cfg"
"""What HAProxy loaded; without its hash beside it, its servers are being changed."""
LEAVING_SERVERS = LOADED_FOLDER / "haproxy.leaving"
"""The servers that a run is removing, or was when it was interrupted."""
SERVER_STATES = Path("/run/portway/server-states")
"""What HAProxy's new process is told of its servers when it is reloaded."""
RELOAD_REASON = Path("/run/portway/reload-reason.json")
"""Why Portway is about to reload HAProxy."""
RELOADS = Path("/var/lib/portway/haproxy-reloads.json")
"""How often HAProxy was reloaded, and when and why the last times."""
ADDRESS_RUN_FOLDER = Path("/run/portway/address")
FIFO = ADDRESS_RUN_FOLDER / "vrrp.fifo"
"""keepalived writes every change of its state here."""
STATUS = ADDRESS_RUN_FOLDER / "status.json"
STANDING = ADDRESS_RUN_FOLDER / "standing"
"""What this node's part in the pair adds to its VRRP priority, for keepalived."""
TAKE_BACK = ADDRESS_RUN_FOLDER / "take-back"
"""Exists while somebody wants this node to take the address back at once."""
CHECK_RUN_FOLDER = Path("/run/portway/check")
VERDICT = CHECK_RUN_FOLDER / "verdict"
"""What the check of HAProxy adds to the VRRP priority, for keepalived, and why."""
BEAT = CHECK_RUN_FOLDER / "beat"
"""When the check last looked, in seconds since the boot."""
ASKED = CHECK_RUN_FOLDER / "asked"
"""keepalived touches it whenever it has looked at that."""
INTERFACE = Path("/run/portway/keepalived-interface.conf")
"""The line of keepalived's configuration that names the network interface, written
whenever it starts: another instance type may name it differently."""
STREAMS_RUN_FOLDER = Path("/run/portway/streams")
STREAMS_STATUS = STREAMS_RUN_FOLDER / "status.json"
METRICS_FOLDER = Path("/var/lib/prometheus/node-exporter")
"""Debian's node exporter reads text files from here."""
METRICS_FILE = METRICS_FOLDER / "portway_address.prom"
STREAMS_METRICS_FILE = METRICS_FOLDER / "portway_streams.prom"
RELOAD_METRICS_FILE = METRICS_FOLDER / "portway_haproxy.prom"

UNPROVEN = Path("/var/lib/portway/unproven")
"""Exists on a node that deploys to itself while it has not served with what it has: the
backends that had a healthy server before, a line each, or ``*`` for all."""
OUT_OF_SERVICE = Path("/run/portway/out-of-service")
"""Exists on an application node that has taken itself out of service."""
DOORS = Path("/var/lib/portway/agent/doors.json")
"""How an application node that deploys to itself goes out of service."""
FAILED = DOORS.with_name("failed")
"""Stands for what an application node has failed with in its turn."""
WAITS = Path("/run/portway/agent/waits")
"""Since when a node that deploys to itself waits for its standby, in seconds since the
boot, and with which configuration."""

SUM_FILE = ".portway-sha256"
"""In each release: the SHA-256 of the archive it was unpacked from."""

LEASE = Path("/run/portway/lease")
"""Says which run may change this node, and until when. A reboot ends the lease."""
DEPLOYED = Path("/var/lib/portway/deployed.json")
"""Says what the last run that changed this node, or found nothing to do, deployed."""
WISHED = Path("/var/lib/portway/wished")
"""Has a file for each part of a node, with hashes of everything that the last run that
succeeded wanted of it: it tells who changed what differs now."""
RUNS = Path("/var/lib/portway/runs")
"""What the last runs did on this node, a line for each."""
