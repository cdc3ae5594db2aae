"""A customer's name for where to send may come to mean another address."""

from pathlib import Path

from lab.traffic.senders import Where


def test_name_means_what_the_file_says_at_the_moment(tmp_path: Path) -> None:
    names = tmp_path / "names"
    where = Where("lb.example.com", names)
    for address in ("203.0.113.7", "203.0.113.1"):
        names.write_text(f"192.0.2.1 other.example.com\n{address} lb.example.com\n")
        assert where.address() == address


def test_address_is_itself() -> None:
    assert Where("203.0.113.7").address() == "203.0.113.7"
