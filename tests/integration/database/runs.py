"""What a run of the database deploy does, without pyinfra, and files to run it with."""

import pg8000.native
import pymysql
import pytest

from portway.database.admin import Access, apply, find_differences, read_database
from portway.database.sql_files import file_problems
from portway.database.state import Difference
from portway.errors import refuse_if_any
from tests.integration.database.places import Place, sql_file

REFUSED = (pg8000.native.DatabaseError, pymysql.err.MySQLError)
TABLES = sql_file(
    "001_tables.sql",
    "-- the vendor's own\nCREATE TABLE received (id int PRIMARY KEY, body text);\n"
    "INSERT INTO received VALUES (1, 'a; b');\n",
)
MORE = sql_file("002_more.sql", "CREATE TABLE more (id int PRIMARY KEY);")


def look(place: Place, access: Access | None = None) -> tuple[Difference, ...]:
    """What a run would find to do; raises what it would refuse."""
    found = read_database(access or place.access(), place.wanted)
    refuse_if_any(file_problems("sql", place.wanted, found))
    return find_differences(place.wanted, found)


def deploy(place: Place, access: Access | None = None) -> list[str]:
    """Do what a run does, and say what that was."""
    access = access or place.access()
    found = look(place, access)
    for difference in found:
        apply(access, place.wanted, difference, file_seconds=20)
    return [str(difference) for difference in found]


def refused(place: Place, statement: str, database: str | None = None) -> str:
    """What the server says to the application when it refuses; fails if it does not."""
    with pytest.raises(REFUSED) as refusal:
        place.as_application(statement, database)
    return str(refusal.value)
