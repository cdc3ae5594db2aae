"""A machine without any release gets the published one, by its own Python and boto3."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from portway.model.published import Published
from portway.render.agent import FIRST
from tests.integration.agent.test_publishing import (
    Make,
    agent,
    make,
    new_key,
    put,
    sign,
)
from tests.integration.conftest import REGION, STACK, Account

__all__ = ["agent", "make"]


def bring(
    root: Path, signers: Path = Path("/nowhere")
) -> subprocess.CompletedProcess[str]:
    """What a node does when it is told to, with this machine's boto3."""
    return subprocess.run(
        [sys.executable, "-I", "-", str(root), str(signers)],
        input=FIRST.read_text(),
        env=os.environ | {"PORTWAY_STACK": STACK, "AWS_REGION": REGION},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def published(agent: Account, make: Make, log: Path) -> Published:
    """A release whose program says how it was called, and from where."""
    return put(make("1", f'#!/bin/sh\necho "$0 $*" >>{log}\n'))


def test_published_release_installs_itself(
    published: Published, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "root" / ".first-left").mkdir(parents=True)
    done = bring(tmp_path / "root")
    assert done.returncode == 0, done.stderr
    program, words = log.read_text().strip().split(" ", 1)
    assert words == "agent update"
    assert program.endswith("/portway-1/bin/portway")
    assert list((tmp_path / "root").iterdir()) == [], "nothing is left behind"


def test_other_bytes_than_were_published_are_not_run(
    agent: Account, published: Published, log: Path, tmp_path: Path
) -> None:
    s3 = agent.client("s3")
    place = {"Bucket": published.bucket, "Key": published.name}
    other = s3.get_object(**place)["Body"].read() + b"x"
    s3.put_object(**place, Body=other)
    done = bring(tmp_path)
    assert done.returncode == 1
    assert "has another SHA-256 than was published" in done.stderr
    assert not log.exists()


def test_nothing_published_says_what_to_do(agent: Account, tmp_path: Path) -> None:
    done = bring(tmp_path)
    assert done.returncode == 1
    assert "no release is published: portway release publish" in done.stderr


def test_missing_stack_says_what_to_create(account: Account, tmp_path: Path) -> None:
    done = bring(tmp_path)
    assert done.returncode == 1
    assert "the stack of cloudformation/agent.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_failure_is_told(agent: Account, make: Make, tmp_path: Path) -> None:
    put(make("1", "#!/bin/sh\necho it cannot start >&2\nexit 3\n"))
    done = bring(tmp_path)
    assert done.returncode == 3
    assert "it cannot start" in done.stderr


def test_signed_release_is_run_where_signatures_are_asked_for(
    agent: Account, make: Make, log: Path, tmp_path: Path
) -> None:
    anna, other = new_key(tmp_path / "anna"), new_key(tmp_path / "other")
    signers = tmp_path / "signers"
    signers.write_text(f"anna@example.com {anna.with_suffix('.pub').read_text()}")
    archive = make("1", f'#!/bin/sh\necho "$0 $*" >>{log}\n')
    put(archive)
    unsigned = bring(tmp_path / "root", signers)
    sign(archive, other)
    put(archive)
    foreign = bring(tmp_path / "root", signers)
    assert (unsigned.returncode, foreign.returncode) == (1, 1)
    assert "the release is not signed" in unsigned.stderr, unsigned.stderr
    assert "is not signed by anybody" in foreign.stderr
    assert not log.exists()
    sign(archive, anna)
    put(archive)
    done = bring(tmp_path / "root", signers)
    assert done.returncode == 0, done.stderr
    assert log.read_text().endswith("agent update\n")
    signers.write_text("# nobody\n\n  # either\n")
    assert bring(tmp_path / "root", signers).returncode == 0
