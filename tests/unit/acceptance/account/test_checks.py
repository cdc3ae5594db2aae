"""What cannot work is refused before anything costs money."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from acceptance.account import checks
from acceptance.plan.options import Options
from portway.errors import PortwayError

USER = "arn:aws:iam::123456789012:user/somebody"


@pytest.fixture
def good(options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
    """Options that pass, with a program `aws` and the authorities in a checkout."""
    (tmp_path / "aws").write_text("")
    (tmp_path / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "all.py").write_text('database_ca_file = "ca.pem"')
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.setattr(checks, "PROJECT", tmp_path)
    checks.check(options, USER)
    return options


def test_root_user_is_refused(good: Options) -> None:
    with pytest.raises(PortwayError, match="root user"):
        checks.check(good, "arn:aws:iam::123456789012:root")


def test_fifth_client_network_is_refused(good: Options) -> None:
    networks = ["192.0.2.1/32"] * 5
    checks.check(replace(good, client_cidrs=",".join(networks[:4])), USER)
    with pytest.raises(PortwayError, match="more than 4 networks"):
        checks.check(replace(good, client_cidrs=",".join(networks)), USER)


def test_missing_aws_cli_is_refused_if_a_tunnel_takes_it(
    good: Options, tmp_path: Path
) -> None:
    (tmp_path / "aws").unlink()
    with pytest.raises(PortwayError, match="no program aws"):
        checks.check(good, USER)
    checks.check(replace(good, operator_cidr="10.0.0.0/8"), USER)
    checks.check(replace(good, data=(f"tunnel_command={sys.executable} a",)), USER)


@pytest.mark.parametrize("client", ["no-such-program host", "'"])
def test_client_that_cannot_be_run_is_refused(good: Options, client: str) -> None:
    with pytest.raises(PortwayError, match=r"no program no-such|is no command"):
        checks.check(replace(good, client=client), USER)


def test_missing_authorities_are_refused(good: Options, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").unlink()
    with pytest.raises(PortwayError, match=r"there is no file .*/ca\.pem"):
        checks.check(good, USER)
    (tmp_path / "group_data" / "prod.py").write_text('database_ca_file = "aws"')
    checks.check(good, USER)
    with pytest.raises(PortwayError, match=r"there is no file .*/other\.pem"):
        checks.check(replace(good, data=("database_ca_file=other.pem",)), USER)
