"""Units let Portway's programs do what these do."""

import re

import pytest

from portway.render.templates import TEMPLATES

PROGRAMS = {
    "portway-address": ("address/*.py", "host.py"),
    "portway-check": ("check/*.py", "host.py"),
    "portway-streams": ("streams/*.py", "host.py"),
}
OPENED = r"socket\.socket\(socket\.(AF_[A-Z0-9]+)"
NODE = TEMPLATES.parent / "portway" / "node"


@pytest.mark.parametrize("unit", PROGRAMS)
def test_every_kind_of_socket_that_a_program_opens_is_allowed(unit: str) -> None:
    files = [path for pattern in PROGRAMS[unit] for path in NODE.glob(pattern)]
    used = {
        name
        for path in files
        for name in re.findall(
            r"socket\.socket\(socket\.(AF_[A-Z0-9]+)", path.read_text()
        )
    }
    text = (TEMPLATES / f"{unit}.service.j2").read_text()
    (allowed,) = re.findall(r"(?m)^RestrictAddressFamilies=(.*)$", text)
    assert used, "nothing was found"
    assert used <= set(allowed.split())
