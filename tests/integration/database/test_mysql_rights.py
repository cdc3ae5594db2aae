"""Rights of every kind that MySQL and MariaDB know are seen, and taken away."""

from collections.abc import Iterator

import pytest

from portway.database.state import MARIADB, MYSQL
from portway.errors import PortwayError
from tests.integration.database.places import MASTER, Place, RunningServer
from tests.integration.database.runs import TABLES, deploy, look, refused


@pytest.fixture(scope="module")
def hr(mysql_like: RunningServer) -> Iterator[str]:
    """A database of somebody else's."""
    for statement in (
        "CREATE DATABASE hr",
        "CREATE TABLE hr.pay (id int, name text)",
        "CREATE PROCEDURE hr.raise_all() SELECT 1",
        "CREATE FUNCTION hr.`odd.one`() RETURNS int DETERMINISTIC RETURN 1",
    ):
        mysql_like.ask(statement)
    yield "hr"
    mysql_like.ask("DROP DATABASE hr")


@pytest.fixture
def place(mysql_like: RunningServer, hr: str) -> Place:
    assert hr
    place = mysql_like.new_place(files=(TABLES,))
    deploy(place)
    return place


@pytest.mark.parametrize(
    ("right", "told"),
    [
        ("SELECT (name) ON hr.pay", "SELECT on column hr.pay.name"),
        ("EXECUTE ON PROCEDURE hr.raise_all", "EXECUTE on procedure hr.raise_all"),
        (
            "EXECUTE, ALTER ROUTINE ON FUNCTION hr.`odd.one`",
            "EXECUTE, ALTER ROUTINE on function hr.odd.one",
        ),
    ],
)
@pytest.mark.parametrize("grantable", ["", " WITH GRANT OPTION"])
def test_right_on_a_part_is_taken_away(
    place: Place, right: str, told: str, grantable: str
) -> None:
    user = place.wanted.user
    place.server.ask(f"GRANT {right} TO {user}@'%'{grantable}")
    done = deploy(place)
    assert any(line.startswith(f"Revoke {told.partition(' on ')[0]}") for line in done)
    assert all(told.partition(" on ")[2].split(".")[1] in line for line in done), done
    assert look(place) == ()
    kept = place.server.ask(f"SHOW GRANTS FOR {user}@'%'")
    assert not any("hr" in text for (text, *_) in kept)
    refused(place, "SELECT name FROM hr.pay")


def test_rights_on_columns_are_named_with_them(place: Place) -> None:
    user = place.wanted.user
    place.server.ask(f"GRANT SELECT (id, name), UPDATE (id) ON hr.pay TO {user}@'%'")
    assert [str(difference) for difference in look(place)] == [
        f"Revoke SELECT on column hr.pay.name from {user}",
        f"Revoke SELECT, UPDATE on column hr.pay.id from {user}",
    ]


def test_proxy_is_taken_away_or_named(place: Place) -> None:
    user, server = place.wanted.user, place.server
    server.ask(f"CREATE USER boss{user}@'10.%'")
    server.ask(f"GRANT PROXY ON boss{user}@'10.%' TO {user}@'%' WITH GRANT OPTION")
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    assert f"on proxy of 'boss{user}'@'10.%' from {user}" in refusal.value.what
    assert f"{MASTER} lacks the permission" in refusal.value.what
    server.ask(f"GRANT PROXY ON ''@'' TO {MASTER}@'%' WITH GRANT OPTION")
    assert deploy(place)
    assert look(place) == ()


def test_role_of_certain_hosts_is_taken_away(place: Place) -> None:
    user, server = place.wanted.user, place.server
    role = f"reader{user}"
    hosts = "@'10.60.%'" if server.engine == MYSQL else ""
    server.ask(f"CREATE ROLE {role}{hosts}")
    server.ask(f"GRANT SELECT ON hr.* TO {role}{hosts}")
    server.ask(f"GRANT {role}{hosts} TO {user}@'%' WITH ADMIN OPTION")
    if server.engine == MARIADB:  # the way of RDS: the master made the role
        server.ask(f"GRANT {role} TO {MASTER} WITH ADMIN OPTION")
    (done,) = deploy(place)
    assert done.startswith("Take the role ")
    assert role in done
    assert look(place) == ()
