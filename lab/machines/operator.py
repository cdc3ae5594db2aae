"""The operator's machine: a home with a key, and hosts known where the lab says so."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.ground import shell
from lab.plan.files import write_whole
from lab.plan.names import Lab
from lab.plan.records import Host

_WRAPPED = ("ssh", "scp", "sftp")


def key(lab: Lab) -> str:
    """The operator's public key, made on first use."""
    directory = lab.home / ".ssh"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = directory / "id_ed25519"
    public = private.with_suffix(".pub")
    if not public.exists():
        private.unlink(missing_ok=True)
        what = ["-q", "-t", "ed25519", "-N", "", "-C", "operator"]
        shell.output(["ssh-keygen", *what, "-f", private])
    return public.read_text()


def write_home(lab: Lab, host_keys: Mapping[Host, str]) -> None:
    """Write down how to reach every host and by which key to recognize it."""
    hosts = sorted(host_keys, key=lambda host: host.node)
    known = "".join(f"{h.node},{h.address} {host_keys[h]}\n" for h in hosts)
    write_whole(lab.home / ".ssh" / "known_hosts", known, 0o600)
    configure(lab, hosts)


def configure(lab: Lab, hosts: Sequence[Host] = ()) -> None:
    """Have ssh use the operator's key and the known hosts, and know hosts by name.

    Without hosts it knows none, and reaches them by address as on a user's machine.
    """
    directory = lab.home / ".ssh"
    write_whole(directory / "config", _config(directory, hosts), 0o600)
    _write_wrappers(lab, directory / "config")


def _config(directory: Path, hosts: Sequence[Host]) -> str:
    """The first match wins in ssh, so what holds for all comes last."""
    sections = [f"Host {host.node}\n    HostName {host.address}\n" for host in hosts]
    sections.append(
        "Host *\n"
        "    User admin\n"
        f"    IdentityFile {directory / 'id_ed25519'}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {directory / 'known_hosts'}\n"
        "    StrictHostKeyChecking yes\n"
        "    ConnectTimeout 10\n"
    )
    return "\n".join(sections)


def _write_wrappers(lab: Lab, config: Path) -> None:
    """OpenSSH looks for its files in the home of the account, not in HOME."""
    directory = lab.home / "bin"
    directory.mkdir(exist_ok=True)
    for program in _WRAPPED:
        if found := shutil.which(program):
            wrapper = directory / program
            write_whole(
                wrapper, f'#!/bin/sh\nexec {found} -F {config} "$@"\n', mode=0o755
            )
