"""Who may sign releases is read as OpenSSH reads it, which the test asks."""

import subprocess
from pathlib import Path

import pytest

from portway.model.signers import KINDS, signers

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3qNys3lgVzir6FbMlwcvqXnZvfjo/65o54SzYG+UQ3"
ANNA = f"anna@example.com {KEY}"


@pytest.mark.parametrize(
    "line",
    [
        ANNA,
        f"  {ANNA} a word",
        f"anna@example.com,*@ops.example.com {KEY}",
        f'* cert-authority,namespaces="portway-release,file" {KEY}',
        f'* valid-after="20260101",valid-before="20300101Z" {KEY}',
    ],
)
def test_lines_that_openssh_reads(line: str) -> None:
    assert signers(f"# Who signs\n\n{line}\n") == (line.strip(),)


@pytest.mark.parametrize(
    "kind", ["ed25519", "rsa", "ecdsa-256", "ecdsa-384", "ecdsa-521"]
)
def test_keys_that_openssh_makes(tmp_path: Path, kind: str) -> None:
    """One of each kind that needs no device, and a signature that is found again."""
    name, _, bits = kind.partition("-")
    size = ("-b", bits or "2048") if name != "ed25519" else ()
    words = ("ssh-keygen", "-q", "-t", name, *size, "-N", "", "-f", tmp_path / "key")
    subprocess.run(words, check=True)
    public = (tmp_path / "key.pub").read_text()
    assert public.split()[0] in KINDS
    file, allowed = tmp_path / "file", tmp_path / "allowed"
    file.write_text("content")
    allowed.write_text("\n".join(signers(f"anna@example.com {public}")) + "\n")
    sign = ("ssh-keygen", "-q", "-Y", "sign", "-f", tmp_path / "key", "-n", "file")
    subprocess.run([*sign, file], check=True)
    find = ("ssh-keygen", "-Y", "find-principals", "-f", allowed, "-s", f"{file}.sig")
    found = subprocess.run(find, capture_output=True, text=True, check=True)
    assert found.stdout == "anna@example.com\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it names nobody"),
        ("# nobody\n  # either\n", "it names nobody"),
        (KEY, "nobody who signs: ssh-ed25519"),
        (f"{ANNA}\nbob", "nobody who signs: bob"),
        ("anna@example.com ssh-ed25519", "nobody who signs: anna"),
        (ANNA.replace("ssh-ed25519", "ssh-dss"), "nobody who signs: anna"),
        (f"anna@example.com no-touch-required {KEY}", "nobody who signs: anna"),
        (ANNA[:-4], "no whole key: anna"),
        (ANNA.replace("AAAAC3", "AAAAC4"), "no whole key: anna"),
        (ANNA.replace("ssh-ed25519", "ssh-rsa"), "no whole key: anna"),
        (f"{ANNA[:-1]}!", "no whole key: anna"),
    ],
)
def test_lines_that_openssh_does_not_read(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        signers(text)
