"""What the lab remembers about its hosts: one small file per host, written whole.

Only what cannot be asked elsewhere is kept: AWS is asked of moto, processes of the
kernel.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

from lab.plan.files import write_whole
from lab.plan.names import Lab

RECORD = "host.json"

DATABASE_ROLE = "database"

SERIAL_PORT = "/var/log/serial-port"
"""The file on a host that takes what a machine prints to its serial port."""


@dataclass(frozen=True, slots=True)
class Host:
    """A machine of the lab, as it was built."""

    node: str
    role: str
    instance_id: str
    """The instance id; for the database its name in RDS."""
    interface_id: str
    mac: str
    address: str
    prefix: int
    gateway: str
    image: str
    """The image's directory; a host built from another one is rebuilt."""

    @property
    def device(self) -> str:
        """The router's end of the host's link: interface names have 15 characters."""
        return self.node if len(self.node) <= 15 else self.node[:8] + self.node[-7:]


def save(lab: Lab, host: Host) -> None:
    """Remember a host."""
    path = lab.host(host.node) / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(host), indent=2) + "\n")


def hosts(lab: Lab) -> tuple[Host, ...]:
    """The hosts that were built and not removed, by name."""
    return tuple(sorted(_read(lab), key=lambda host: host.node))


def _read(lab: Lab) -> Iterator[Host]:
    for path in lab.hosts.glob(f"*/{RECORD}"):
        with suppress(FileNotFoundError):  # removed while we looked
            yield Host(**json.loads(path.read_text()))
