"""Which part of an ssh_config is about a node."""

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Inventory

from portway.errors import PortwayError
from portway.ops.way import INSTANCE, Way

INSTANCE_ID = "i-0123456789abcdef0"


def options(folder: Path, text: str) -> dict[str, Any]:
    """What a file says about lb-1."""
    file = folder / "config"
    file.write_text(text)
    data = {"ssh_hostname": "10.60.0.5", INSTANCE: INSTANCE_ID}
    hosts = [("lb-1", data | {"ssh_config_file": str(file)})]
    return dict(Way(Inventory((hosts, {})).get_host("lb-1")).options)


@pytest.mark.parametrize(
    "pattern",
    [
        "lb-1",
        "lb-2 lb-?",
        "* !lb-2 lb-*",
        INSTANCE_ID,
        "i-* mi-*",
        "10.60.0.5",
        "10.60.*",
        "*",
    ],
)
def test_name_instance_and_address_are_looked_up(pattern: str, tmp_path: Path) -> None:
    assert options(tmp_path, f"Host {pattern}\n  User me\n").get("user") == "me"


@pytest.mark.parametrize("criterion", ["originalhost lb-*", "host i-*,mi-*"])
def test_match_of_a_host_counts_as_a_host_line(criterion: str, tmp_path: Path) -> None:
    assert options(tmp_path, f"Match {criterion}\n  User me\n").get("user") == "me"


EXCLUDING = (
    "Host lb-* !lb-1",
    "Host * !lb-1",
    "Match !host lb-1",
    "Host *",
    "Host LB-1",
)


@pytest.mark.parametrize("excluding", EXCLUDING)
def test_line_that_leaves_a_node_out_hides_no_other(
    excluding: str, tmp_path: Path
) -> None:
    text = f"{excluding}\n  Compression yes\nHost 10.60.*\n  User me\n"
    assert options(tmp_path, text).get("user") == "me"


@pytest.mark.parametrize("criterion", ["tagged vpn", "localnetwork 10.0.0.0/8"])
def test_match_that_cannot_be_judged_counts_for_nothing(
    criterion: str, tmp_path: Path
) -> None:
    text = f"Match {criterion}\n  User other\nHost *\n  User me\n"
    assert options(tmp_path, text).get("user") == "me"


def test_file_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    with pytest.raises(PortwayError) as error:
        options(tmp_path, 'Host "lb-1\n')
    assert error.value.message.startswith(f"{tmp_path}/config cannot be read: ")
