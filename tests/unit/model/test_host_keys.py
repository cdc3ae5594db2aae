"""Host keys: read off a console, and kept in known_hosts."""

import base64
import subprocess
from pathlib import Path

import pytest

from portway.model.host_keys import (
    BEGIN,
    CERTIFICATES,
    END,
    REVOKED,
    HostKey,
    Owner,
    has_finished,
    hindrance,
    keys_on_console,
    read_entries,
    revoked_keys,
    usable,
    with_keys,
    written,
)

ADDRESS = "10.60.0.11"
OWNER, OTHER = Owner("messages", "i-1"), Owner("messages", "i-2")


def key(fill: int, kind: str = "ssh-ed25519") -> HostKey:
    """A public key that has the right form."""
    parts = {
        "ssh-ed25519": (bytes([fill]) * 32,),
        "ssh-rsa": (b"\1\0\1", bytes([fill]) * 257),
        "ecdsa-sha2-nistp256": (b"nistp256", bytes([fill]) * 65),
    }[kind]
    data = b"".join(len(p).to_bytes(4) + p for p in (kind.encode(), *parts))
    return HostKey(kind, base64.b64encode(data).decode())


KINDS = ("ecdsa-sha2-nistp256", "ssh-ed25519", "ssh-rsa")
KEYS = tuple(key(1, kind) for kind in KINDS)


def console(*keys: HostKey, between: str = "") -> str:
    """What a Debian instance prints at its first boot, around its keys."""
    block = "\r\n".join(f"{k.kind} {k.data} root@ip-10-60-0-11" for k in keys)
    return (
        "[    0.000000] Linux version 6.12\r\n"
        "<14>Nov 26 21:00:01 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r\n"
        "<14>Nov 26 21:00:01 cloud-init: 256 SHA256:abc root@ip-10-60 (ED25519)\r\n"
        f"{BEGIN}\r\n{block}\r\n{between}{END}\r\n"
        "[   14.2] cloud-init[612]: Cloud-init v. 25.1.4-1 finished at Thu, 26 Nov\r\n"
    )


def test_all_kinds_of_keys_are_read() -> None:
    assert keys_on_console(console(*KEYS)) == KEYS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Debian GNU/Linux 13 ip-10-60-0-11 ttyS0\r\nlogin: ",
        console(*KEYS).partition(END)[0],
    ],
)
def test_keys_that_are_not_there_yet_are_none(text: str) -> None:
    assert keys_on_console(text) == ()


def test_key_that_another_line_cut_in_two_is_left_out() -> None:
    line = f"ssh-ed25519 {key(2).data[:40]}[   12.1] audit: type=1400\r\n"
    assert keys_on_console(console(*KEYS, between=line)) == KEYS
    shortened = f"ssh-ed25519 {key(2).data[:44]} root@x\r\n"
    assert keys_on_console(console(*KEYS, between=shortened)) == KEYS


def test_keys_of_the_last_boot_count() -> None:
    assert keys_on_console(console(key(1)) + console(key(2))) == (key(2),)


def test_end_of_cloud_init_is_seen() -> None:
    assert has_finished(console())
    assert not has_finished(console().partition("Cloud-init")[0])


def test_fingerprint_is_the_one_that_openssh_shows(tmp_path: Path) -> None:
    file = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)]
    subprocess.run(words, check=True)
    kind, data, *_ = file.with_suffix(".pub").read_text().split()
    shown = subprocess.check_output(["ssh-keygen", "-lf", str(file)], text=True)
    assert shown.split()[1] in str(HostKey(kind, data))


def known(text: str, owner: Owner = OWNER, *keys: HostKey) -> str:
    """The text of a file when keys of an instance at the address are recorded."""
    return written(with_keys(read_entries(text), ADDRESS, owner, keys or (key(1),)))


LINE = f"{ADDRESS} ssh-ed25519 {key(1).data} portway/messages/i-1\n"


def test_key_is_recorded_with_its_instance() -> None:
    assert known("") == LINE
    (entry,) = read_entries(LINE)
    assert (entry.owner, entry.key) == (OWNER, key(1))


def test_recording_again_changes_nothing() -> None:
    text = f"# mine\nhost ssh-ed25519 {key(9).data} a comment\n{LINE}"
    assert known(text) == text


def test_key_of_the_instance_before_is_replaced() -> None:
    before = f"{ADDRESS} ssh-ed25519 {key(2).data} {OTHER}\n"
    assert known(before) == LINE


def test_address_leaves_a_line_that_has_other_names() -> None:
    rest = f"ssh-ed25519 {key(2).data}\n"
    assert known(f"lb-1,{ADDRESS} {rest}") == f"lb-1 {rest}{LINE}"


def test_hashed_address_is_found(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{ADDRESS} ssh-ed25519 {key(2).data}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True)
    assert ADDRESS not in file.read_text()
    assert known(file.read_text()) == LINE


def test_instance_with_another_address_is_recorded_there_only() -> None:
    assert known(f"10.60.0.99 ssh-ed25519 {key(1).data} {OWNER}\n") == LINE


@pytest.mark.parametrize("marker", [CERTIFICATES, REVOKED])
def test_lines_with_a_marker_stay_and_hide_nothing(marker: str) -> None:
    first = f"a ssh-ed25519 {key(3).data}\n"
    marked = f"{marker} {ADDRESS},*.test ssh-ed25519 {key(4).data}\n"
    after = f"{ADDRESS} ssh-ed25519 {key(2).data}\n"
    assert known(first + marked + after) == first + marked + LINE
    assert known(first + marked + LINE) == first + marked + LINE
    counted = usable(read_entries(first + marked + LINE))
    assert [e.text for e in counted] == [first[:-1], LINE[:-1]]


def test_revoked_key_counts_for_nobody() -> None:
    text = f"{LINE}@revoked * ssh-ed25519 {key(1).data}\n"
    assert usable(read_entries(text)) == ()
    assert revoked_keys(read_entries(text)) == {key(1)}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"@cert-authority 10.60.* ssh-ed25519 {key(1).data}", "has @cert-authority"),
        (f"{ADDRESS} ssh-ed25519 {key(2).data}", "which a line with @revoked takes"),
        (f"{ADDRESS} 1024 35 1234", "cannot be read"),
        (f"10.60.* ssh-ed25519 {key(1).data[:-4]}", "cannot be read"),
        (f"@cert-authority 10.61.* ssh-ed25519 {key(1).data}", ""),
        (f"{ADDRESS} ssh-ed25519 {key(1).data}", ""),
        (f"*,!{ADDRESS} 1024 35 1234", ""),
        ("# 10.60.0.11 1024 35", ""),
        ("", ""),
    ],
)
def test_line_that_makes_no_known_host_says_why(line: str, why: str) -> None:
    (entry,) = read_entries(line + "\n")
    said = hindrance(entry, ADDRESS, {key(2)})
    assert why in said
    assert bool(said) == bool(why)


def test_lines_of_no_known_form_stay() -> None:
    text = "not a host\n\n   \n|1|broken|x ssh-rsa AAAA\n"
    assert known(text) == text + LINE
