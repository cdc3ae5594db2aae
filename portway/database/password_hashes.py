"""The hashes that database servers store of a password. Pure.

A statement that sets a password contains one of these, so the password itself is in no
statement and in no server log.
"""

import base64
import hashlib
import hmac
import re

SCRAM_ROUNDS = 4096
"""PostgreSQL's own number."""
SHA2_ROUNDS = 5000
"""What every version of MySQL takes; it writes them in thousands, as 005."""
SHA2 = re.compile(r"\$A\$([0-9A-F]{3})\$(.{20})(.{43})", re.DOTALL)
"""What MySQL keeps: thousands of rounds, the salt, the digest."""
CRYPT_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def scram_sha_256(password: str, salt: bytes) -> str:
    """The verifier that PostgreSQL keeps (RFC 5803); the salt is 16 random bytes.

    The password must be ASCII, which SASLprep leaves as it is.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")

    def text(value: bytes) -> str:
        return base64.b64encode(value).decode()

    return (
        f"SCRAM-SHA-256${SCRAM_ROUNDS}:{text(salt)}"
        f"${text(stored_key)}:{text(server_key)}"
    )


def postgres_md5(password: str, user: str) -> str:
    """What PostgreSQL keeps for clients without SCRAM; whoever has it can log in."""
    text = (password + user).encode()
    return "md5" + hashlib.md5(text, usedforsecurity=False).hexdigest()


def mysql_native(password: str) -> str:
    """The hash that mysql_native_password keeps; it has no salt."""
    inner = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def caching_sha2(password: str, salt: str, rounds: int = SHA2_ROUNDS) -> str:
    """The hash that caching_sha2_password keeps; the salt is 20 ASCII characters.

    It is SHA-crypt (Drepper's "Unix crypt using SHA-256") with a longer salt.
    """
    digest = _sha256_crypt(password.encode(), salt.encode("latin-1"), rounds)
    return f"$A${rounds // 1000:03X}${salt}{digest}"


def is_kept(plugin: str, kept: str, password: str) -> bool | None:
    """Whether what MySQL or MariaDB keeps is of a password; None if nothing tells."""
    if plugin == "mysql_native_password":
        own = mysql_native(password)
    elif plugin == "caching_sha2_password":
        parts = SHA2.fullmatch(kept)
        if parts is None:
            return False
        thousands, salt, _ = parts.groups()
        own = caching_sha2(password, salt, int(thousands, 16) * 1000)
    else:
        return None
    return hmac.compare_digest(kept.encode(), own.encode())


def _sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    first = hashlib.sha256(password + salt + password).digest()
    mixed = hashlib.sha256(password + salt + _repeated(first, len(password)))
    bits = len(password)
    while bits:
        mixed.update(first if bits & 1 else password)
        bits >>= 1
    result = mixed.digest()
    p_part = _repeated(hashlib.sha256(password * len(password)).digest(), len(password))
    s_hash = hashlib.sha256(salt * (16 + result[0])).digest()
    s_part = _repeated(s_hash, len(salt))
    for count in range(rounds):
        odd = count & 1
        parts = [p_part if odd else result]
        parts += [s_part] if count % 3 else []
        parts += [p_part] if count % 7 else []
        parts += [result if odd else p_part]
        result = hashlib.sha256(b"".join(parts)).digest()
    return _crypt_text(result)


def _repeated(pattern: bytes, length: int) -> bytes:
    return (pattern * (length // len(pattern) + 1))[:length]


def _crypt_text(digest: bytes) -> str:
    """The digest in crypt's own base 64, three bytes at a time in its own order."""
    triples = [
        ((i * 21) % 30, (i * 21 + 10) % 30, (i * 21 + 20) % 30) for i in range(10)
    ]
    text = "".join(
        _base64((digest[a] << 16) | (digest[b] << 8) | digest[c], 4)
        for a, b, c in triples
    )
    return text + _base64((digest[31] << 8) | digest[30], 3)


def _base64(value: int, length: int) -> str:
    return "".join(CRYPT_ALPHABET[(value >> 6 * place) & 63] for place in range(length))
