"""When what HAProxy says counts: pure, and the clock is passed in.

Time in doubt is counted in looks, not by the clock: a host that stalls has looked once,
and what it then sees of itself is what it had seen before.
"""

import math

from portway.contract.check import CheckConfig
from portway.node.check.haproxy import STEP, Fault, Finding

USUALLY = 0.2
"""Seconds between two looks."""
SLOWLY = 0.5
"""The same while there are no clients or servers to look at, which costs more."""

GONE_AT_MOST, WITHIN = 2.0, 60.0
"""Seconds without HAProxy, within about so many, after which that counts however short
each time was: systemd starts a HAProxy that crashes again after 0.2 s."""


class Judge:
    """Whether a load balancer counts as serving."""

    def __init__(self, config: CheckConfig, *, before: bool | None) -> None:
        """``before`` is what counted when the program ended; None if it never ran."""
        self.good: bool | None = before
        self.reason = ""
        self._config = config
        self._fault: Fault | None = None
        self._looks = 0
        self._gone = 0.0
        self._good_since: float | None = None

    def hear(self, found: Finding, *, is_master: bool, now: float) -> bool:
        """Take in a look; whether that changes what counts.

        A VRRP master that serves again counts at once: it has the address. A backup
        must serve for a while, or else an outage that ends for both moves the address
        to the one that sees it first.
        """
        same = found.fault is self._fault
        self._looks = self._looks + 1 if same else 1
        self._fault = found.fault
        self._remember(found.fault)
        if found.fault is None:
            self._good_since = now if self._good_since is None else self._good_since
            at_once = is_master or self.good is None
            long_enough = now - self._good_since >= self._config.rise
            return (at_once or long_enough) and self._decide(good=True, reason="")
        self._good_since = None
        often = found.fault is Fault.GONE and self._gone >= GONE_AT_MOST
        lasts = self._looks >= self._patience(found.fault)
        if self.good is not None and not (lasts or often):
            return False
        return self._decide(good=False, reason=found.reason)

    def _remember(self, fault: Fault | None) -> None:
        """How long HAProxy was gone, which is forgotten little by little."""
        if fault is Fault.GONE:
            self._gone = min(GONE_AT_MOST, self._gone + STEP)
        elif fault is None:
            self._gone = max(0.0, self._gone - USUALLY * GONE_AT_MOST / WITHIN)

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        if self._fault in (Fault.CLOSED, Fault.NO_SERVER):
            return SLOWLY
        return STEP if self._fault and self.good else USUALLY

    @property
    def releases(self) -> bool:
        """Whether a master should give up at once, and not when its peer notices.

        Not without servers: the peer may have none either, and not know it yet.
        """
        return not self.good and self._fault is not Fault.NO_SERVER

    @property
    def in_full(self) -> bool:
        """Whether the next look should be at everything."""
        return not self.good or self._fault is not None

    def _patience(self, fault: Fault) -> int:
        """Looks with the same fault until it counts."""
        seconds = {
            Fault.GONE: self._config.fall,
            Fault.ENDING: self._config.reload,
            Fault.NO_SERVER: self._config.outage,
        }.get(fault, 0.0)
        pause = SLOWLY if fault is Fault.NO_SERVER else STEP
        return 1 + math.ceil(seconds / pause)

    def _decide(self, *, good: bool, reason: str) -> bool:
        changed = good is not self.good
        self.good, self.reason = good, reason
        return changed
