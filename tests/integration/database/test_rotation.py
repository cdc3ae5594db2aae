"""The application's password rotated with real servers, interrupted everywhere."""

from dataclasses import replace

import pytest

from portway.database.admin import (
    apply,
    find_rotation,
    find_working_login,
    lock_former,
    read_database,
)
from portway.database.errors import LoginRefused
from portway.database.rotation import Rotation
from portway.database.state import POSTGRES, NodeLogins
from portway.errors import PortwayError
from tests.integration.database.places import MASTER, Place, RunningServer
from tests.integration.database.runs import REFUSED, TABLES, deploy, look


def rotate(place: Place) -> Place:
    """Give the secret another password; the place as it was before."""
    before = replace(place)
    place.password = "rotated" + place.password
    return before


def logs_in(place: Place, user: str) -> bool:
    """Whether a user logs in with this place's password, and can do its work."""
    try:
        place.as_application("SELECT count(*) FROM received", user=user)
    except REFUSED:
        return False
    return True


def stage(place: Place) -> Rotation:
    return find_rotation(place.wanted, read_database(place.access(), place.wanted))


@pytest.fixture
def place(rds: RunningServer) -> Place:
    """A database that one node uses."""
    place = rds.new_place(files=(TABLES,))
    deploy(place)
    place.used_by(app_1="1", app_2="1")
    return place


def test_two_logins_alternate_and_nobody_is_refused_meanwhile(place: Place) -> None:
    first, second = place.wanted.user, place.wanted.second
    for old, new, digit in ((first, second, "2"), (second, first, "1")) * 2:
        other = "1" if digit == "2" else "2"
        before = rotate(place)
        done = deploy(place)
        assert done[-1] == f"Set the password of the user {new} and let it log in"
        assert look(place) == ()
        assert logs_in(place, new)
        assert logs_in(before, old)
        place.used_by(app_1=digit, app_2=other)
        assert look(place) == ()
        place.used_by(app_1=digit, app_2=digit)
        assert deploy(place) == [f"Lock the user {old}, which nobody uses any more"]
        assert look(place) == ()
        assert logs_in(place, new)
        assert not logs_in(before, old)


def test_run_interrupted_after_any_step_is_finished_by_the_next(place: Place) -> None:
    first, second = place.wanted.user, place.wanted.second
    for old, new, digit in ((first, second, "2"), (second, first, "1")):
        before = rotate(place)
        moved = False
        while (left := look(place)) or not moved:
            assert logs_in(before, old)
            if left:
                apply(place.access(), place.wanted, left[0], file_seconds=20)
                works = stage(place).has_password
                assert works == logs_in(place, new), "it has its rights when it works"
            else:
                place.used_by(app_1=digit, app_2=digit)
                moved = True
        assert not logs_in(before, old)
        assert logs_in(place, new)


def test_second_login_is_made_by_the_first_rotation_and_not_before(
    place: Place,
) -> None:
    assert set(read_database(place.access(), place.wanted).users) == {place.wanted.user}
    rotate(place)
    deploy(place)
    assert set(read_database(place.access(), place.wanted).users) == {
        place.wanted.user,
        place.wanted.second,
    }


def test_second_login_drifts_no_more_than_the_first(place: Place) -> None:
    rotate(place)
    deploy(place)
    place.used_by(app_1="2", app_2="2")
    deploy(place)
    user, database = place.wanted.second, place.wanted.database
    if place.server.engine == POSTGRES:
        place.server.ask(
            f"ALTER ROLE {user} CREATEDB; SET ROLE {MASTER}; "
            f"REVOKE {place.wanted.user} FROM {user}; RESET ROLE; "
            f"GRANT TEMPORARY ON DATABASE {database} TO {user}; "
            f"ALTER ROLE {user} IN DATABASE {database} RESET search_path"
        )
        expected = 4
    else:
        place.server.ask(f"GRANT DROP ON {database}.* TO {user}@'%'")
        place.server.ask(f"REVOKE INSERT ON {database}.* FROM {user}@'%'")
        expected = 2
    assert len(deploy(place)) == expected
    assert look(place) == ()
    assert logs_in(place, user)


def test_secret_rotated_again_before_nodes_moved_goes_to_the_unused_login(
    place: Place,
) -> None:
    first, second = place.wanted.user, place.wanted.second
    oldest = rotate(place)
    deploy(place)
    middle = rotate(place)
    assert deploy(place) == [f"Set the password of the user {second}"]
    assert logs_in(oldest, first)
    assert logs_in(place, second)
    assert not logs_in(middle, second)


def test_secret_rotated_again_while_nodes_move_says_whom_that_concerns(
    place: Place,
) -> None:
    first, second = place.wanted.user, place.wanted.second
    oldest = rotate(place)
    deploy(place)
    place.used_by(app_1="2", app_2="1", app_3="1")
    rotate(place)
    now = stage(place)
    assert (now.current, now.refused) == (second, ("app-1",))
    deploy(place)
    assert logs_in(oldest, first)
    place.used_by(app_1="2", app_2="2", app_3="2")
    deploy(place)
    assert not logs_in(oldest, first)


def test_secret_set_back_before_the_end_goes_back_to_the_login_that_has_it(
    place: Place,
) -> None:
    oldest = rotate(place)
    deploy(place)
    place.used_by(app_1="2", app_2="1")
    newest = place.password
    place.password = oldest.password
    assert look(place) == ()
    assert stage(place).current == place.wanted.user
    place.used_by(app_1="1", app_2="1")
    deploy(place)
    assert logs_in(place, place.wanted.user)
    place.password = newest
    assert not logs_in(place, place.wanted.second)


def test_secret_set_back_after_the_end_is_one_more_rotation(place: Place) -> None:
    oldest = rotate(place)
    deploy(place)
    place.used_by(app_1="2", app_2="2")
    deploy(place)
    place.password = oldest.password
    (done,) = deploy(place)
    assert done.startswith(f"Set the password of the user {place.wanted.user}")
    assert logs_in(place, place.wanted.user)


def test_password_changed_in_the_database_comes_back_to_the_login_that_nodes_have(
    place: Place,
) -> None:
    for digit, user in (("1", place.wanted.user), ("2", place.wanted.second)):
        if digit == "2":
            place.used_by(app_1="1", app_2="1")
            rotate(place)
            deploy(place)
        place.used_by(app_1=digit, app_2=digit)
        place.nodes = replace(place.nodes, ready={"app-1": user, "app-2": user})
        deploy(place)
        if place.server.engine == POSTGRES:
            place.server.ask(f"ALTER ROLE {user} PASSWORD 'drifted'")
        else:
            place.server.ask(f"ALTER USER {user}@'%' IDENTIFIED BY 'drifted'")
        assert not logs_in(place, user)
        assert stage(place).refused == ()
        assert deploy(place) == [f"Set the password of the user {user}"]
        assert logs_in(place, user)
        assert look(place) == ()


def test_former_login_stays_while_a_node_cannot_be_asked(place: Place) -> None:
    before = rotate(place)
    deploy(place)
    place.used_by(app_1="2")
    place.nodes = replace(place.nodes, unseen=("app-2",))
    assert look(place) == ()
    assert stage(place).held_by == ("nothing says what app-2 will use",)
    assert logs_in(before, place.wanted.user)


def test_former_login_stays_while_nothing_shows_that_nodes_moved(place: Place) -> None:
    rotate(place)
    deploy(place)
    place.nodes = NodeLogins({"app-1": frozenset(), "app-2": frozenset()})
    assert stage(place).held_by == (f"no node uses {place.wanted.second} yet",)
    assert look(place) == ()


def test_former_login_stays_while_it_has_a_session(place: Place) -> None:
    session = place.connected()
    rotate(place)
    deploy(place)
    place.used_by(app_1="2", app_2="2")
    assert stage(place).held_by == ("1 session of it from 127.0.0.1",)
    assert look(place) == ()
    session.close()
    now = stage(place)
    assert now.locks
    lock_former(place.access(), place.wanted, now)
    assert look(place) == ()


def test_user_of_somebody_else_is_not_taken_for_the_second_login(place: Place) -> None:
    second, server = place.wanted.second, place.server
    if server.engine == POSTGRES:
        server.ask(f"CREATE ROLE {second} LOGIN PASSWORD 'theirs'")
    else:
        server.ask(f"CREATE USER {second}@'%' IDENTIFIED BY 'theirs'")
        server.ask(f"GRANT SELECT ON mysql.* TO {second}@'%'")
    assert look(place) == ()
    rotate(place)
    with pytest.raises(PortwayError, match=r"a user .*_portway that is not Portway's"):
        look(place)


def test_user_with_a_usual_name_is_never_taken_for_the_second_login(
    place: Place,
) -> None:
    """However little it may do, and whatever it is a member of."""
    user, server = f"{place.wanted.user}_2", place.server
    if server.engine == POSTGRES:
        server.ask(f"CREATE ROLE {user} LOGIN PASSWORD 'theirs'")
        server.ask(f"GRANT {place.wanted.user} TO {user}")
    else:
        server.ask(f"CREATE USER {user}@'%' IDENTIFIED BY 'theirs'")
    theirs = replace(place, password="theirs")
    elsewhere = "postgres" if server.engine == POSTGRES else ""
    for digit in ("2", "1"):
        rotate(place)
        assert not any(user in line for line in deploy(place))
        place.used_by(app_1=digit)
        assert not any(user in line for line in deploy(place))
        theirs.connected(user, database=elsewhere).close()


def test_what_either_login_makes_is_the_other_s_too(rds: RunningServer) -> None:
    place = rds.new_place(creates_tables=True)
    deploy(place)
    before = rotate(place)
    deploy(place)
    first, second = place.wanted.user, place.wanted.second
    made = {"old": (before, first), "new": (place, second)}
    for name, (maker, user) in made.items():
        maker.as_application(f"CREATE TABLE {name} (id int)", user=user)
    for name in made:
        for other, user in made.values():
            other.as_application(f"INSERT INTO {name} (id) VALUES (1)", user=user)
            other.as_application(f"ALTER TABLE {name} ADD {user} int", user=user)
    place.used_by(app_1="2")
    deploy(place)
    assert look(place) == ()
    place.as_application("INSERT INTO old (id) VALUES (2)", user=second)


def test_second_login_acts_as_the_first_whatever_a_driver_resets(
    postgres: RunningServer,
) -> None:
    place = postgres.new_place(creates_tables=True)
    deploy(place)
    rotate(place)
    deploy(place)
    session = place.connected(place.wanted.second)
    for statement in ("DISCARD ALL", "RESET ALL", "RESET ROLE"):
        session.run(statement)
        names = session.run("SELECT current_user, session_user")
        assert names == [[place.wanted.user, place.wanted.second]]
    session.close()


def test_definer_that_is_locked_still_defines_in_mysql(
    mysql_like: RunningServer,
) -> None:
    place = mysql_like.new_place(files=(TABLES,))
    deploy(place)
    mysql_like.ask(
        f"CREATE DEFINER={place.wanted.user}@'%' SQL SECURITY DEFINER "
        f"VIEW shown AS SELECT * FROM received",
        place.wanted.database,
    )
    place.used_by(app_1="1")
    before = rotate(place)
    deploy(place)
    place.used_by(app_1="2")
    deploy(place)
    assert not logs_in(before, place.wanted.user)
    rows = place.as_application("SELECT id FROM shown", user=place.wanted.second)
    assert rows == ((1,),)


def test_application_s_nodes_find_the_login(place: Place) -> None:
    def found(likely: str | None = None) -> str:
        return find_working_login(place.access(), place.wanted, likely).user

    assert found() == place.wanted.user
    rotate(place)
    with pytest.raises(LoginRefused, match=r"logs in neither .* nor .*\n.*\n.*site.py"):
        found()
    deploy(place)
    assert found() == found(place.wanted.user) == place.wanted.second
    place.used_by(app_1="2", app_2="2")
    deploy(place)
    assert found() == found(place.wanted.user) == place.wanted.second


def stored(place: Place, user: str) -> str:
    """How the server stores a user's password."""
    question = f"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'"
    return str(place.server.ask(question)[0][0]).partition("$")[0][:13]


def test_password_is_stored_in_the_form_that_old_clients_of_the_server_need(
    postgres: RunningServer,
) -> None:
    """A server that still says md5 has clients that know no SCRAM."""
    place = postgres.new_place(files=(TABLES,))
    first, second = place.wanted.user, place.wanted.second
    database = f"ALTER DATABASE {place.wanted.database}"
    postgres.ask(f"{database} SET password_encryption = 'md5'")
    note = " (stored as md5: password_encryption of the server)"
    assert f"Create the user {first}{note}" in deploy(place)
    assert stored(place, first).startswith("md5")
    assert logs_in(place, first)
    place.used_by(app_1="1")
    rotate(place)
    set_it = f"Set the password of the user {second} and let it log in"
    assert deploy(place)[-1] == set_it + note
    assert stored(place, second).startswith("md5")
    assert logs_in(place, second)
    assert look(place) == ()
    place.used_by(app_1="2")
    deploy(place)
    postgres.ask(f"{database} RESET password_encryption")
    assert look(place) == ()
    rotate(place)
    (done,) = deploy(place)
    assert "md5" not in done
    assert stored(place, first) == "SCRAM-SHA-256"
    assert logs_in(place, first)
