"""Settings of the database."""

import pytest

from portway.errors import PortwayError
from portway.model.settings import settings_from


@pytest.mark.parametrize(
    "name", ["Messages", "1a", "a-b", "a b", 'a"b', "x" * 64, "", "mysql", "pg_x"]
)
def test_schema_name_that_would_need_care_is_refused(name: str) -> None:
    with pytest.raises(PortwayError, match="database_schema: "):
        settings_from({"clients_file": "c.json", "database_schema": name})


def test_schema_that_portway_keeps_its_record_in_is_refused() -> None:
    with pytest.raises(PortwayError, match="reserved by the database"):
        settings_from({"clients_file": "c.json", "database_schema": "portway"})


def test_usual_schema_name_is_taken() -> None:
    settings = settings_from({"clients_file": "c.json", "database_schema": "in_box2"})
    assert settings.database_schema == "in_box2"
