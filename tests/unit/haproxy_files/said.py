"""What is said of texts of HAProxy files."""

from portway.haproxy_files.comparison import Comparison, PortReport, compare
from portway.haproxy_files.sections import read

PLAIN = "listen one\n bind :9001\n server a 10.0.0.1:80\n"


def compared(old: str, new: str = PLAIN, **how: object) -> Comparison:
    return compare(read(old, "old"), read(new, "new"), **how)  # type: ignore[arg-type]


def only(old: str, new: str = PLAIN, **how: object) -> PortReport:
    """What is said of the one port of two files that can be read."""
    found = compared(old, new, **how)
    assert found.unread == ()
    (report,) = found.ports
    return report


def differing(report: PortReport) -> dict[str, tuple[str, str]]:
    return {found.what: (found.old, found.new) for found in report.differences}
