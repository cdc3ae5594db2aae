"""What most of these tests begin with."""

from pathlib import Path

import pytest

from acceptance.plan.options import Options


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(stack="trial", region="us-east-1", folder=tmp_path)
