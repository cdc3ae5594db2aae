"""Looks at HAProxy several times a second and tells keepalived what it found.

What that adds to the VRRP priority is in a file that keepalived watches. A second file
says when it last looked. keepalived reads that one every second, so a check that hangs
or died counts as failed after a few seconds, and one that is merely restarted does not.
"""

import logging
import signal
import sys
import time
from types import FrameType

from portway.contract.check import RELEASE, CheckConfig
from portway.contract.paths import ADMIN_SOCKET, BEAT, CHECK_CONFIG, VERDICT
from portway.node.check.abandoned import Abandoned
from portway.node.check.haproxy import Haproxy
from portway.node.check.judge import Judge
from portway.node.host import has_address, notify_systemd, write_whole

IN_FULL = 1.0
"""Seconds between two looks at clients and servers while all is well."""
BEATS = 1.0
RELEASED = 0.5
"""The longest that keepalived gets to release the address."""

log = logging.getLogger("check")


def main() -> int:
    """Run until stopped; systemd starts it."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    try:
        config = CheckConfig.from_json(CHECK_CONFIG.read_text())
    except (OSError, ValueError) as error:
        print(f"portway-check: {error}", file=sys.stderr)
        return 1

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    run(config)
    return 0


def run(config: CheckConfig) -> None:
    """Look for ever."""
    haproxy = Haproxy(ADMIN_SOCKET, config.stats_frontend, config.patience)
    judge = Judge(config, before=_before(config))
    abandoned = Abandoned()
    looked_in_full = beaten = float("-inf")
    ready = False
    while True:
        now = time.monotonic()
        in_full = judge.in_full or now - looked_in_full >= IN_FULL
        found = haproxy.look(in_full=in_full)
        looked_in_full = now if in_full else looked_in_full
        now = time.monotonic()
        is_master = has_address(config.address)
        if judge.hear(found, is_master=is_master, now=now):
            _publish(config, judge, release=is_master and judge.releases)
        if now - beaten >= BEATS:
            write_whole(BEAT, f"{time.clock_gettime(time.CLOCK_BOOTTIME):.0f}\n")
            notify_systemd("WATCHDOG=1" if ready else "READY=1")
            beaten, ready = now, True
            abandoned.look()
        time.sleep(judge.pause)


def _before(config: CheckConfig) -> bool | None:
    """What counted when the program ended, since the last boot."""
    try:
        value = int(VERDICT.read_text().split("\n")[0])
    except (OSError, ValueError):
        return None
    return {config.good: True, config.bad: False}.get(value)


def _publish(config: CheckConfig, judge: Judge, *, release: bool) -> None:
    """Write what is added to the priority, and the reason for people.

    A backup ignores adverts of a lower priority and waits for more than three of them.
    One that hears its master give up does not wait, so a master passes through fault.
    """
    log.info("%s", judge.reason or "HAProxy serves")
    if release:
        write_whole(VERDICT, f"{RELEASE}\n{judge.reason}\n")
        end = time.monotonic() + RELEASED
        while has_address(config.address) and time.monotonic() < end:
            time.sleep(0.01)
    value = config.good if judge.good else config.bad
    write_whole(VERDICT, f"{value}\n{judge.reason}\n")


if __name__ == "__main__":
    sys.exit(main())
