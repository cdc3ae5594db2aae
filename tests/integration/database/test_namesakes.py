"""Other accounts that MySQL and MariaDB take for the application's."""

import pytest

from portway.errors import PortwayError
from tests.integration.database.places import Place, RunningServer
from tests.integration.database.runs import TABLES, deploy, look


@pytest.fixture
def place(mysql_like: RunningServer) -> Place:
    place = mysql_like.new_place(files=(TABLES,))
    deploy(place)
    return place


@pytest.mark.parametrize("host", ["127.0.0.1", "10.60.%"])
@pytest.mark.parametrize("knows_password", [True, False])
def test_account_for_fewer_hosts_is_named_with_what_drops_it(
    place: Place, host: str, knows_password: bool
) -> None:
    other = f"'{place.wanted.user}'@'{host}'"
    password = place.password if knows_password else "another"
    place.server.ask(f"CREATE USER {other} IDENTIFIED BY '{password}'")
    place.server.ask(f"GRANT ALL ON *.* TO {other}")
    with pytest.raises(PortwayError) as refusal:
        look(place)
    assert refusal.value.what.endswith(f"accounts for the application: {other}")
    place.server.ask(refusal.value.do.splitlines()[-1])
    assert look(place) == ()
    place.as_application("SELECT * FROM received")


def test_account_without_a_name_is_named(place: Place) -> None:
    place.server.ask("CREATE USER ''@'10.60.%'")
    with pytest.raises(PortwayError) as refusal:
        look(place)
    place.server.ask(refusal.value.do.splitlines()[-1])
    assert look(place) == ()


def test_second_login_s_namesake_counts_when_there_is_one(place: Place) -> None:
    other = f"'{place.wanted.second}'@'127.0.0.1'"
    place.server.ask(f"CREATE USER {other} IDENTIFIED BY 'another'")
    assert look(place) == ()
    place.used_by(app_1="1")
    place.password = "rotated" + place.password
    with pytest.raises(PortwayError) as refusal:
        look(place)
    place.server.ask(refusal.value.do.splitlines()[-1])
    deploy(place)
    place.as_application("SELECT * FROM received", user=place.wanted.second)


def test_role_and_other_names_are_no_namesakes(place: Place) -> None:
    user = place.wanted.user
    place.server.ask(f"CREATE USER {user}x@'10.%'")
    place.server.ask(f"CREATE USER {user.upper()}@'10.%'")
    assert look(place) == ()
    if place.server.engine == "mariadb":
        place.server.ask(f"CREATE ROLE {user}")
        assert look(place) == ()
