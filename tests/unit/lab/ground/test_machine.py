"""What the lab needs of its machine."""

from pathlib import Path

from lab.ground.machine import raise_limits


def test_low_limit_is_raised_once_and_a_higher_one_is_left(tmp_path: Path) -> None:
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")

    assert "raised from 128 to 1024" in raise_limits(limit)
    assert limit.read_text() == "1024\n"
    assert raise_limits(limit) == ""
    limit.write_text("8192\n")
    assert raise_limits(limit) == ""
    assert limit.read_text() == "8192\n"
