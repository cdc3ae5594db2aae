"""Runs that a node makes of itself: what they are told, and what they leave. Pure.

What starts them reads it as well, and has to load nothing else for it.
"""

from pathlib import Path

from portway.contract.paths import WAITS

ON_ITSELF = "PORTWAY_ON_ITSELF"
"""The environment variable of a run that deploys to its own machine."""
GOES_BACK = "PORTWAY_GOES_BACK"
"""The one of a run that restores what this node served with before."""

SERVED = WAITS.with_name("served")
"""Left by a run if the node serves with what it has."""
DID_NOT_SERVE = WAITS.with_name("did-not-serve")
"""Left if a backend that had a healthy server before has none any more."""
WAITED = WAITS.with_name("waited")
"""Left if the run came to an end because the node has to wait for others."""

ROOT = Path("/opt/portway")
"""Has the releases of a node."""
CURRENT = ROOT / "current"
"""The release that it runs; a link."""
SIGNERS = Path("/etc/portway/release-signers")
"""Who may sign the releases of a node, as OpenSSH's ``allowed_signers``; without a line
that names one, they need no signature."""
