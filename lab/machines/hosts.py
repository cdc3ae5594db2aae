"""Hosts: an image under a disk of their own, booted in a network of their own.

It knows what a machine consists of, not what AWS calls it or what runs on it.
"""

import os
import shutil
import time
import uuid
from pathlib import Path

from lab.errors import LabError
from lab.ground import mounts, namespaces, processes, shell
from lab.plan.files import write_whole
from lab.plan.names import Lab
from lab.plan.records import SERIAL_PORT, Host

BOOT_SECONDS = 60.0

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_KEYS_ON_CONSOLE = f"""\
[Unit]
Description=Print the SSH host keys to the console, as cloud-init does
ConditionPathExists=!{SERIAL_PORT}

[Service]
Type=oneshot
ExecStart=/bin/sh -c "{{ echo '-----BEGIN SSH HOST KEY KEYS-----'; \
cat /etc/ssh/ssh_host_*_key.pub; \
echo '-----END SSH HOST KEY KEYS-----'; }} >{SERIAL_PORT}"

[Install]
WantedBy=multi-user.target
"""

_USER_DATA = """\
[Unit]
Description=Run the instance's user data once, as cloud-init does
ConditionPathExists=!/var/lib/user-data
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=/bin/sh /etc/user-data.sh

[Install]
WantedBy=multi-user.target
"""

_RUN_USER_DATA = """\
url=http://169.254.169.254/latest
ask() { curl --silent --fail --max-time 2 --retry 3 --retry-delay 1 "$@"; }
token=$(ask -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $url/api/token) &&
    ask -H "X-aws-ec2-metadata-token: $token" -o /var/lib/user-data $url/user-data ||
    exit 0
[ "$(head -c 2 /var/lib/user-data)" = '#!' ] || exit 0
chmod 0700 /var/lib/user-data
exec /var/lib/user-data
"""

_KEEP_BOOTING = """\
namespace=$1
shift
while :; do
    # It outlives the machine, whose packet filter is gone with its kernel.
    nsenter --net="$namespace" nft flush ruleset
    "$@"
    # 133 is how a guest says that it wants to be started again.
    [ $? -eq 133 ] || exit 0
done
"""


def root(lab: Lab, host: Host) -> Path:
    """The host's file system, as seen from outside."""
    return lab.host(host.node) / "root"


def make(lab: Lab, host: Host) -> None:
    """Make a host's disk and network, without a role."""
    directory = lab.host(host.node)
    for part in ("upper", "work", "root"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    # Nobody needs a host's disk after a crash of this machine: skip every sync.
    options = (
        f"volatile,lowerdir={host.image},"
        f"upperdir={directory / 'upper'},workdir={directory / 'work'}"
    )
    mount = ["mount", "-t", "overlay", lab.namespace(host.node), "-o", options]
    shell.output([*mount, directory / "root"])
    _identify(lab, host)
    link = namespaces.Link(
        host.device, host.address, host.prefix, host.gateway, host.mac
    )
    namespaces.make(lab, host.node, link)


def _identify(lab: Lab, host: Host) -> None:
    """Give the disk what makes it this machine and no other."""
    etc = root(lab, host) / "etc"
    (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
    (etc / "hostname").write_text(host.node + "\n")
    key = etc / "ssh" / "ssh_host_ed25519_key"
    shell.output(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.node, "-f", key]
    )
    (etc / "user-data.sh").write_text(_RUN_USER_DATA)
    units = etc / "systemd" / "system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit, text in (
        ("host-keys-to-console.service", _KEYS_ON_CONSOLE),
        ("user-data.service", _USER_DATA),
    ):
        (units / unit).write_text(text)
        (wanted / unit).symlink_to(f"../{unit}")


def host_key(lab: Lab, host: Host) -> str:
    """The public key that the host's sshd shows, without its comment."""
    path = root(lab, host) / "etc" / "ssh" / "ssh_host_ed25519_key.pub"
    return " ".join(path.read_text().split()[:2])


def authorize(lab: Lab, host: Host, public_key: str) -> None:
    """Let the owner of a key log in as admin."""
    home = root(lab, host) / "home" / "admin"
    owner = home.stat()
    directory = home / ".ssh"
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / "authorized_keys"
    file.write_text(public_key)
    for path in (directory, file):
        os.chown(path, owner.st_uid, owner.st_gid)


def install(lab: Lab, host: Host, source: Path, target: str, mode: int) -> None:
    """Copy a file of the lab to a host."""
    path = root(lab, host) / target.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, path)
    path.chmod(mode)


def set_environment(lab: Lab, host: Host, variables: dict[str, str]) -> None:
    """Give every service of the host variables, from the next boot on."""
    folder = root(lab, host) / "etc" / "systemd" / "system.conf.d"
    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join(f'"{name}={value}"' for name, value in sorted(variables.items()))
    write_whole(folder / "environment.conf", f"[Manager]\nDefaultEnvironment={words}\n")


def know_names(lab: Lab, host: Host, names: dict[str, str]) -> None:
    """Write /etc/hosts: the host's own name, and names with their addresses."""
    lines = [
        "127.0.0.1 localhost",
        f"{host.address} {host.node}",
        *(f"{address} {name}" for name, address in sorted(names.items())),
    ]
    write_whole(root(lab, host) / "etc" / "hosts", "\n".join(lines) + "\n")


def is_running(lab: Lab, host: Host) -> bool:
    """Whether the host has an init process."""
    return processes.init_of(processes.cgroup(lab, host.node)) is not None


def is_whole(lab: Lab, host: Host) -> bool:
    """Whether the host's disk and network are there, so that it can be started."""
    return root(lab, host).is_mount() and namespaces.exists(lab, host.node)


def start(lab: Lab, host: Host) -> None:
    """Switch a host on. It does not wait: see ``wait``."""
    group = processes.cgroup(lab, host.node)
    processes.kill(group)
    # The namespace outlives the machine, which forgets what it was given.
    namespaces.keep_only(lab, host.node, host.address)
    environment = {
        "PATH": _PATH,
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        # Hosts set their own kernel network parameters, as machines do.
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    }
    shell.start(
        [
            "/bin/sh",
            "-c",
            _KEEP_BOOTING,
            "keep-booting",
            lab.namespace_path(host.node),
            *_nspawn(lab, host),
        ],
        lab.host(host.node) / "console.log",
        cgroup=group,
        env=environment,
    )


def _nspawn(lab: Lab, host: Host) -> list[str]:
    return [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        f"--directory={root(lab, host)}",
        f"--machine={lab.namespace(host.node)}",
        f"--hostname={host.node}",
        f"--network-namespace-path={lab.namespace_path(host.node)}",
        # What a machine's own root has and a container's does not.
        "--capability=CAP_NET_ADMIN,CAP_SYS_RESOURCE",
        "--rlimit=RLIMIT_NOFILE=1024:1048576",
        "--console=pipe",
        "--boot",
    ]


def wait(lab: Lab, host: Host) -> None:
    """Wait until everything a host starts at boot has started.

    Raises LabError with the failed units, or if it takes too long.
    """
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        reached = _boot_state(lab, host, "--wait")
        if reached == "running":
            return
        if reached == "degraded":
            failed = shell.output(
                inside(lab, host, ["systemctl", "--failed", "--plain", "--no-legend"])
            )
            raise LabError(f"{host.node} started, but not all of it: {failed.strip()}")
        if time.monotonic() > deadline:
            log = lab.host(host.node) / "console.log"
            raise LabError(f"{host.node} does not boot ({reached}): see {log}")
        time.sleep(0.1)


def has_booted(lab: Lab, host: Host) -> bool:
    """Whether everything a host starts at boot has started, or failed to."""
    return _boot_state(lab, host) in ("running", "degraded")


def _boot_state(lab: Lab, host: Host, *options: str) -> str:
    if not is_running(lab, host):
        return "off"
    command = ["systemctl", "is-system-running", *options]
    try:
        # The status is not 0 until all is well, and the word is what counts.
        tolerant = ["sh", "-c", '"$@" 2>&1; true', "sh", *command]
        return shell.output(inside(lab, host, tolerant)).strip()
    except LabError:  # it was switched off under our hands
        return "off"


def inside(lab: Lab, host: Host, command: list[str]) -> list[str]:
    """The command line that runs a command as root on a running host."""
    pid = processes.init_of(processes.cgroup(lab, host.node))
    if pid is None:
        raise LabError(f"{host.node} is not running")
    return [
        "nsenter",
        f"--target={pid}",
        "--all",
        "--root",
        "--wdns=/",
        "--",
        "/usr/bin/env",
        "-i",
        f"PATH={_PATH}",
        "HOME=/root",
        "LANG=C.UTF-8",
        f"TERM={os.environ.get('TERM', 'dumb')}",
        *command,
    ]


def stop(lab: Lab, node: str) -> None:
    """Cut a host's power."""
    processes.kill(processes.cgroup(lab, node))
    # systemd-nspawn, killed with its guest, leaves an empty directory of each kind.
    for left_over in Path("/run/systemd/nspawn").glob(f"*/{lab.namespace(node)}"):
        left_over.rmdir()


def remove(lab: Lab, node: str) -> None:
    """Remove a host whatever state it is in, and everything of it."""
    stop(lab, node)
    namespaces.remove(lab, node)
    mounts.remove_tree(lab.host(node))
