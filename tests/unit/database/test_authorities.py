"""What is said about a file with authorities that is not there, or is none."""

from pathlib import Path

import pytest

from portway.database.session import tls_context
from portway.errors import PortwayError

BUNDLE = "\n  curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_missing_authorities_come_with_the_command_that_gets_them(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PortwayError) as refusal:
        tls_context(path)
    assert refusal.value.message.endswith(BUNDLE)
