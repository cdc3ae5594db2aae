"""``portway-address``: run the mover, show its status, or test its permissions."""

import argparse
import json
import logging
import signal
import sys
import time
from dataclasses import replace
from types import FrameType

from portway.contract.address import AddressObject
from portway.contract.mover import MoverConfig
from portway.contract.paths import ADDRESS_CONFIG
from portway.node.address import keepalived, report, standing
from portway.node.address.ec2 import Ec2, Ec2Error
from portway.node.address.memory import Memory
from portway.node.address.mover import Mover
from portway.node.host import notify_systemd

log = logging.getLogger("address")

LEVELS = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3}
LONGEST_WAIT = 1.0
"""Seconds between two looks at the kernel when the FIFO is silent: somebody may have
removed the address behind keepalived's back."""
OLDEST_REPORT = 5.0
"""Seconds after which an unchanged status is written again."""


def main() -> int:
    """Do what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="portway-address",
        description="Keeps the clients' address at the VRRP master.",
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run until stopped; systemd starts it")
    status = commands.add_parser(
        "status", help="show what the mover knows and has done"
    )
    status.add_argument("--json", action="store_true", help="for programs")
    commands.add_parser(
        "permissions", help="test with DryRun whether this node may move the address"
    )
    wanted = parser.parse_args()
    try:
        if wanted.command == "status":
            return _show_status(as_json=wanted.json)
        config = MoverConfig.from_json(ADDRESS_CONFIG.read_text())
        if wanted.command == "permissions":
            return _try_permissions(config)
        return _run(config)
    except (OSError, ValueError) as error:
        print(f"portway-address: {error}", file=sys.stderr)
        return 1


def _show_status(*, as_json: bool) -> int:
    try:
        print(json.dumps(report.read(), indent=2) if as_json else report.show())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the status cannot be read ({error!r}): systemctl restart portway-address"
        ) from error
    return 0


def _run(config: MoverConfig) -> int:
    """Follow keepalived until told to stop."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    for name, level in LEVELS.items():
        logging.addLevelName(getattr(logging, name), f"<{level}>")
    logging.getLogger().handlers[0].setFormatter(
        logging.Formatter("%(levelname)s%(message)s")
    )
    logging.getLogger("botocore").setLevel(logging.ERROR)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    memory = report.resume()
    notifications = keepalived.Notifications(priority=memory.priority)
    mover = Mover(config, Ec2(config), memory, write_standing=standing.write)
    standing.write(memory.standing)
    fail_back = standing.FailBack(config, mover.clock)
    notify_systemd("READY=1")
    reports = _Reports(mover)
    while True:
        _turn(notifications, mover)
        standing.take_part(mover, fail_back)
        reports.write()


def _turn(notifications: keepalived.Notifications, mover: Mover) -> None:
    """Wait for a report or for the time of the next look, then do what is due."""
    _listen(notifications, mover, min(mover.due - mover.clock(), LONGEST_WAIT))
    if mover.clock() >= mover.due:
        mover.act(lambda: _listen(notifications, mover, 0))


class _Reports:
    """Writes what the mover knows whenever that changes, and every few seconds."""

    def __init__(self, mover: Mover) -> None:
        self._mover = mover
        self._written: tuple[float, Memory | None] = (float("-inf"), None)

    def write(self) -> None:
        """Write if it is time; a full disk must not stop the address from moving."""
        config, memory, now = self._mover.config, self._mover.memory, time.monotonic()
        before, what = self._written
        if memory == what and now - before < OLDEST_REPORT:
            return
        self._written = now, replace(memory)
        for save in (report.save, report.save_metrics):
            try:
                save(config, memory)
            except OSError as error:
                log.warning("the status could not be written: %s", error)


def _listen(
    notifications: keepalived.Notifications, mover: Mover, seconds: float
) -> None:
    """Read what keepalived reports, and what the kernel says in any case.

    It is called between slow calls of EC2 too: the watchdog must not take a mover that
    waits for five of them for one that hangs.
    """
    notify_systemd("WATCHDOG=1")
    address = mover.config.address
    for word in notifications.wait(seconds):
        if word in tuple(keepalived.State):
            mover.hear(keepalived.present_state(address, keepalived.State(word)))
        elif word == "MASTER_RX_LOWER_PRI":
            mover.heard_lower_priority()
    mover.memory.priority = notifications.priority
    mover.hear(keepalived.present_state(address, notifications.state))


def _try_permissions(config: MoverConfig) -> int:
    """Print each call that this node may not make; the status is 1 if there is one."""
    cloud = Ec2(config)
    found = []
    try:
        seen = cloud.describe()
        elsewhere = tuple(AddressObject(found.id, None, found.exists) for found in seen)
        texts = [cloud.dry_run(call) for call in cloud.move_calls(elsewhere)]
        found = [text for text in texts if text]
    except Ec2Error as error:
        found.append(str(error))
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
