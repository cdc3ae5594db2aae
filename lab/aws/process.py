"""The process that is AWS, from outside of it: started, and asked to look again."""

import socket
import sys
import time

import requests

from lab.errors import LabError
from lab.ground import namespaces, processes, shell
from lab.plan import facts
from lab.plan.names import AWS, OPERATOR, Lab
from lab.plan.project import PROJECT

START_SECONDS = 30.0


def start(lab: Lab) -> None:
    """Start the process that is AWS, unless it is there and answers."""
    with namespaces.within(lab, OPERATOR):
        if _answers():
            return
    group = processes.cgroup(lab, AWS)
    processes.kill(group)
    process = shell.start(
        [
            *namespaces.inside(lab, AWS),
            sys.executable,
            "-m",
            "lab.aws.server",
            lab.name,
        ],
        lab.log,
        cgroup=group,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    deadline = time.monotonic() + START_SECONDS
    with namespaces.within(lab, OPERATOR):
        while not _answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the lab's AWS does not start: see {lab.log}")
            time.sleep(0.1)


def _answers() -> bool:
    try:
        with socket.create_connection((facts.AWS.address, facts.API_PORT), timeout=1):
            return True
    except OSError:
        return False


def synchronize() -> None:
    """Have the router take in hosts that were built or removed."""
    requests.post(facts.ENDPOINT + facts.SYNCHRONIZE, timeout=30).raise_for_status()
