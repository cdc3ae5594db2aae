"""Hashes as database servers make them."""

import base64

import pytest
from scramp import ScramMechanism

from portway.database.password_hashes import caching_sha2, mysql_native, scram_sha_256


def test_scram_verifier_is_what_another_implementation_makes() -> None:
    salt = bytes(range(16))
    _, stored, server, _ = ScramMechanism("SCRAM-SHA-256").make_auth_info(
        "pencil", iteration_count=4096, salt=salt
    )
    head, keys = scram_sha_256("pencil", salt).rsplit("$", 1)
    assert head == f"SCRAM-SHA-256$4096:{base64.b64encode(salt).decode()}"
    assert [base64.b64decode(key) for key in keys.split(":")] == [stored, server]


def test_native_hash_is_mysql_s() -> None:
    assert mysql_native("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


@pytest.mark.parametrize(
    ("password", "salt", "expected"),
    [  # as glibc's crypt(3) makes them; the length decides which way the loops go
        ("Hello world!", "saltstring", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("a", "0123456789abcdef", "ayU.IUrWVARjs3nYpgeybIXMNdiIBTFNCdxEEQ7j/x8"),
        ("x" * 40, "saltstring", "4Dbc1xtYOZHjmCjeUnLCwK.HWyIucFFuVMguB4yxCmA"),
        ("q" * 100, "saltstring", "UKKEk8LjIs8WpucKm037Ot6iGCtnCkIT.5nGlUW6DF0"),
    ],
)
def test_sha2_hash_is_that_of_crypt(password: str, salt: str, expected: str) -> None:
    assert caching_sha2(password, salt) == f"$A$005${salt}{expected}"


def test_sha2_hash_is_one_that_a_mysql_server_made() -> None:
    """The example of such a hash that hashcat publishes; its salt is 20 bytes."""
    salt = bytes.fromhex("F9CC98CE08892924F50A213B6BC571A2C11778C5").decode("latin-1")
    expected = "bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/"
    assert caching_sha2("hashcat", salt).endswith(expected)
