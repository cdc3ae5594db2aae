"""Runs the stream keeper until it is stopped; systemd starts it."""

import logging
import signal
import sys
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

from portway.contract.paths import STREAMS_CONFIG
from portway.contract.streams import StreamsConfig
from portway.node.host import notify_systemd
from portway.node.streams import report
from portway.node.streams.closing import Closing
from portway.node.streams.haproxy import NEWEST, Haproxy, Stream
from portway.node.streams.older import Older
from portway.node.streams.ordered import Ordered
from portway.node.streams.retiring import Retiring

log = logging.getLogger("streams")

PAUSE = 0.2
"""Seconds between two looks. HAProxy holds connections for ``HELD``, which is longer
than this and a move together."""
FAILED_EVERY = 1.0
"""Seconds between two looks for application nodes that failed; more if each is long."""
FAILED_SHARE = 0.02
"""The part of one processor's time that they may take."""
REPORT_EVERY = 5.0
LASTING = 5.0
"""Seconds after which a problem is one."""


class Keeper:
    """Everything that is looked after on this node."""

    def __init__(self, config: StreamsConfig, haproxy: Haproxy) -> None:
        self._config = config
        self._haproxy = haproxy
        ordered = {c for wanted in config.ordered.values() for c in wanted.clients}
        self._older = Older(haproxy, ordered)
        self._closing = Closing(haproxy, self._older)
        self._ordered = Ordered(config.ordered, haproxy, self._older, self._closing)
        self._retiring = Retiring(config, self._older, self._closing)
        self._failed_due = 0.0
        self._problem = ""
        self._well = time.monotonic()
        self._reported = float("-inf")

    def turn(self) -> None:
        """Look once, and do what is due."""
        try:
            failed = self._failed()  # first: it needs nothing of the master process
            self._ordered.look(reloaded=self._older.look())
            self._close_older(failed)
            self._retiring.turn()
            silent = ", ".join(map(str, self._older.silent()))
            problem = (
                f"HAProxy's older processes {silent} do not answer" if silent else ""
            )
        except OSError as error:
            problem = f"HAProxy does not answer: {error}"
        self._note(problem)

    def _note(self, problem: str) -> None:
        """Tell of a problem that lasts: HAProxy's master is silent while it reloads."""
        now = time.monotonic()
        self._well = self._well if problem else now
        lasting = problem if now - self._well >= LASTING else ""
        if lasting != self._problem:
            log.warning("%s", lasting or "HAProxy answers")
            self._problem = lasting

    def _failed(self) -> frozenset[str]:
        """The addresses of nodes that failed; the newest worker's streams there end.

        HAProxy's own ``on-marked-down shutdown-sessions`` shuts down those as well that
        are being connected, of which 3.0 ends none. None when it is not time to look.
        """
        if time.monotonic() < self._failed_due:
            return frozenset()
        began = time.process_time()
        failed = self._haproxy.failed()
        if failed.servers:
            newest = self._haproxy.streams(NEWEST)
            self._close(s for s in newest if (s.backend, s.server) in failed.servers)
        cost = (time.process_time() - began) / FAILED_SHARE
        self._failed_due = time.monotonic() + max(FAILED_EVERY, cost)
        return failed.addresses

    def _close_older(self, failed: frozenset[str]) -> None:
        """Close older workers' streams to nodes that failed: no checks run there."""
        self._close(s for s, address in self._older.streams() if address in failed)

    def _close(self, streams: Iterable[Stream]) -> None:
        if closed := self._closing.close(tuple(streams), "failed"):
            log.info("%d streams to failed nodes were closed", closed)

    def resume(self) -> None:
        """Go on counting where the program's last run ended."""
        self._closing.closed += report.closed_before()

    def write(self) -> None:
        """Report every few seconds."""
        now = time.monotonic()
        if now - self._reported < REPORT_EVERY:
            return
        self._reported = now
        known = self.status()
        for save in (report.save, lambda k: report.save_metrics(k, self._config.stack)):
            try:
                save(known)
            except OSError as error:
                log.warning("the status could not be written: %s", error)

    def status(self) -> dict[str, Any]:
        """Everything that is known, as JSON values."""
        return {
            "problem": self._problem,
            "older": [
                {"pid": process.pid, "uptime": process.uptime, "streams": streams}
                for process, streams in self._older.counts()
            ],
            "closed": dict(self._closing.closed),
        }


def main() -> int:
    """Run until told to stop; returns the exit status."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    try:
        config = StreamsConfig.from_json(STREAMS_CONFIG.read_text())
    except (OSError, ValueError) as error:
        print(f"portway-streams: {error}", file=sys.stderr)
        return 1
    keeper = Keeper(config, Haproxy())
    keeper.resume()
    notify_systemd("READY=1")
    while True:
        keeper.turn()
        keeper.write()
        notify_systemd("WATCHDOG=1")
        time.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(main())
