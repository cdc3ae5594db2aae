"""Two operators at once, one that dies, one that slept, one from an older checkout."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.system import (
    PROJECT,
    PYINFRA,
    System,
    changes,
    output,
    shown,
    wait_until,
)

NODES = ("lb-1", "lb-2", "app-1", "app-2")
LEASE = "/run/portway/lease"
DEPLOYED = "/var/lib/portway/deployed.json"


@contextmanager
def held_up(system: System) -> Iterator[str]:
    """No run gets past the standby, which sees no application node as healthy."""
    standby = system.standby
    with system.without_servers(standby):
        yield standby


def start(system: System, what: str, *options: str) -> subprocess.Popen[str]:
    """A run in the background."""
    words = (PYINFRA, "inventories/lab.py", f"deploys/{what}.py", "-y", *options)
    return subprocess.Popen(
        system.command("run", "--", *words),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def has_lease(system: System, node: str, process: int | str = "") -> bool:
    """Whether a run has the lease on a node, or this one has."""
    script = f"grep -qs 'process {process}' {LEASE}"
    return system.node(node, script, check=False).returncode == 0


@contextmanager
def first_operator(system: System, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """A run that has the lease, which lasts so many seconds, and waits."""
    options = ("--data", f"lease_expiry={seconds}", "--data", "verify_timeout=90")
    process = start(system, "lb", *options)
    try:
        wait_until(lambda: has_lease(system, "lb-2", process.pid), 60, "the lease")
        assert process.stdout
        for line in process.stdout:  # it has the lease everywhere, and knows it
            if "Starting operation: Verify the standby" in line:
                break
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_second_operator_stops_or_waits(settled: System, every_port: Path) -> None:
    holder = settled.holder
    with held_up(settled) as standby, first_operator(settled, 6) as first:
        going_on = re.compile(
            rf"another run is going on: \w+@\S+ \(process {first.pid}\) runs "
            r"deploys/lb.py since \d{4}-"
        )
        clients = ("--data", f"clients_file={every_port}")
        waiting = start(settled, "app", "--data", "lease_wait=90", *clients)
        refused = settled.deploy("-y", "--limit", holder, check=False)
        assert refused.returncode == 1, shown(refused)
        assert going_on.search(output(refused)), shown(refused)
        assert "--data lease_wait=600" in output(refused)
        assert changes(refused) == 0
        dry = settled.deploy("--dry")
        assert going_on.search(output(dry)), shown(dry)

        assert first.poll() is None
        assert waiting.poll() is None
        settled.node(standby, "ip route flush type unreachable")
        text = first.communicate()[0]
        assert first.returncode == 0, text
        text = waiting.communicate()[0]
        assert waiting.returncode == 0, text
        assert "waiting: " in text
    assert not any(has_lease(settled, node) for node in NODES)


def test_operator_killed_with_the_lease_blocks_nobody_after_it_expired(
    settled: System,
) -> None:
    with held_up(settled), first_operator(settled, 25) as first:
        first.kill()
        first.communicate()
        assert has_lease(settled, "lb-1")
        assert has_lease(settled, "lb-2")
    began = time.monotonic()
    text = output(settled.deploy())
    assert re.search(r"waiting: .*that expires in \d+ s", text), text
    assert time.monotonic() - began < 25 + 30


def test_interrupted_run_releases_the_lease(settled: System) -> None:
    with held_up(settled), first_operator(settled, 300) as first:
        first.send_signal(signal.SIGTERM)
        text = first.communicate(timeout=30)[0]
        assert first.returncode == 128 + signal.SIGTERM, text
        assert "Interrupted" in text
    assert not any(has_lease(settled, node) for node in ("lb-1", "lb-2"))


def test_operator_who_slept_stops_before_the_next_change(settled: System) -> None:
    with held_up(settled) as standby, first_operator(settled, 6) as first:
        first.send_signal(signal.SIGSTOP)  # the lid is closed
        settled.node(standby, "ip route flush type unreachable")
        settled.deploy()
        states = settled.file_states()
        first.send_signal(signal.SIGCONT)
        text = first.communicate(timeout=60)[0]
        assert first.returncode == 1, text
        assert "this run may not change lb-1, lb-2 any more" in text
        assert settled.file_states() == states


def test_node_that_cannot_be_reached_stops_no_run_of_the_others(
    settled: System,
) -> None:
    standby, holder = settled.standby, settled.holder
    settled.node(standby, "systemctl stop ssh.socket ssh")
    try:
        text = output(settled.deploy("-y", "--limit", holder))
        assert f"{standby}: " in text
        assert "this run has no lease there" in text
    finally:
        settled.node(standby, "systemctl start ssh")


@pytest.fixture
def checkouts(settled: System, tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """A repository, and its older and its newer commit."""
    folder = tmp_path / "repository"
    files = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    for name in files.splitlines():
        if (PROJECT / name).exists() and not name.startswith(("tests/", "docs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)

    def git(*words: str) -> str:
        own = ("-c", "user.name=Anna", "-c", "user.email=anna@example.com")
        return subprocess.run(
            ["git", "-C", str(folder), *own, *words],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    git("init", "-q")
    commits = []
    for text in ("older", "newer"):
        (folder / "text").write_text(text)
        git("add", "--all")
        git("commit", "-q", "-m", text)
        commits.append(git("rev-parse", "HEAD"))
    yield folder, commits[0], commits[1]
    for node in NODES:
        settled.node(node, f"rm -f {DEPLOYED}")
    settled.deploy()


def test_older_checkout_says_that_it_would_go_back(
    settled: System, checkouts: tuple[Path, str, str]
) -> None:
    folder, older, newer = checkouts
    settled.deploy(project=folder)
    record = settled.node("lb-1", f"cat {DEPLOYED}; stat -c %a {DEPLOYED}").stdout
    assert newer in record
    assert record.endswith("644\n")

    subprocess.run(["git", "-C", str(folder), "checkout", "-q", older], check=True)
    asks = ("-y", "--data", "go_back=false")
    text = output(settled.deploy(*asks, project=folder, check=False))
    assert "lb-1, lb-2 would go back: this checkout is older" in text
    assert re.search(
        rf"there: commit {newer[:12]} .* by \w+@\S+ with deploys/lb.py", text
    )
    assert f"here: commit {older[:12]}" in text
    assert "--data go_back=true" in text
    assert newer in settled.node("lb-1", f"cat {DEPLOYED}").stdout

    settled.deploy("-y", "--data", "go_back=true", project=folder)
    assert older in settled.node("lb-1", f"cat {DEPLOYED}").stdout
