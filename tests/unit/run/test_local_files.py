"""Files of the operator's are written whole, with the right modes, or not at all."""

from pathlib import Path

import pytest

from portway.errors import PortwayError
from portway.run.local_files import SHARED, replace_file, replace_files


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_file_behind_a_link_keeps_its_mode_and_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old\n")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(link, "new\n")
    assert link.is_symlink()
    assert real.read_text() == "new\n"
    assert mode(real) == 0o640
    assert sorted(tmp_path.iterdir()) == [link, real]


def test_new_files_are_private_unless_they_are_to_be_shared(tmp_path: Path) -> None:
    private, shared = tmp_path / "a" / "private", tmp_path / "b" / "shared"
    replace_file(private, "")
    replace_file(shared, "", SHARED)
    assert (mode(private.parent), mode(private)) == (0o700, 0o600)
    assert (mode(shared.parent), mode(shared)) == (0o755, 0o644)


def test_bytes_that_are_no_text_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    replace_file(file, b"\xff\n".decode(errors="surrogateescape"))
    assert file.read_bytes() == b"\xff\n"


@pytest.mark.parametrize("hindrance", ["folder", "missing"])
def test_none_of_several_is_written_if_one_cannot_be(
    hindrance: str, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("old")
    if hindrance == "folder":
        second.mkdir()
    else:
        second = first / "second"
    with pytest.raises(PortwayError) as refused:
        replace_files({first: "new", second: "new"})
    assert str(second) in refused.value.message
    assert first.read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} <= {"first", "second"}
