"""Which of the two logins gets a new password, and when the other one is locked."""

from dataclasses import replace

import pytest

from portway.database.differences import differences
from portway.database.mysql import catalog
from portway.database.mysql.dialect import MySql
from portway.database.postgres.dialect import Postgres
from portway.database.rotation import Rotation, rotation
from portway.database.state import (
    MARIADB,
    MYSQL,
    POSTGRES,
    FoundDatabase,
    FoundUser,
    Kind,
    NodeLogins,
    Scope,
    WantedDatabase,
)
from portway.errors import PortwayError

ONE, TWO = "application", "application_portway"
WANTED = WantedDatabase(POSTGRES, "main", "messages", ONE)
IN_MYSQL = WantedDatabase(MYSQL, "main", "main", ONE)
OPEN, LOCKED = FoundUser(), FoundUser(may_log_in=False)
WORKS = FoundUser(password_works=True)


def now(one: FoundUser | None, two: FoundUser | None = None, **nodes: str) -> Rotation:
    """How far it is.

    ``nodes`` use logins by digit, the last one with the secret's password if "!"
    follows, and "?" cannot be asked.
    """
    if two is not None:
        two = replace(two, roles=(ONE,), acts_as=ONE)
    users = {n: u for n, u in ((ONE, one), (TWO, two)) if u is not None}
    names = {"1": ONE, "2": TWO}
    seen = {
        n: frozenset(names[digit] for digit in d.rstrip("!"))
        for n, d in nodes.items()
        if d != "?"
    }
    ready = {n: names[d[-2]] for n, d in nodes.items() if d.endswith("!")}
    unseen = tuple(name for name, digits in nodes.items() if digits == "?")
    found = FoundDatabase(
        "portway",
        users=users,
        nodes=NodeLogins(seen, unseen, ready),
    )
    return rotation(Postgres(), WANTED, found)


def test_first_login_is_made_alone() -> None:
    assert now(None) == Rotation(ONE, has_password=False)


def test_nothing_is_to_do_while_the_first_login_works() -> None:
    assert now(WORKS) == Rotation(ONE, has_password=True)
    assert now(WORKS, LOCKED) == Rotation(ONE, has_password=True)


@pytest.mark.parametrize(
    ("one", "two", "current"),
    [
        (OPEN, None, TWO),
        (LOCKED, None, ONE),
        (OPEN, LOCKED, TWO),
        (LOCKED, OPEN, ONE),
        (LOCKED, LOCKED, ONE),
    ],
)
def test_new_password_goes_to_a_login_that_nobody_can_use(
    one: FoundUser, two: FoundUser | None, current: str
) -> None:
    begun = now(one, two)
    assert (begun.current, begun.has_password, begun.refused) == (current, False, ())
    assert not begun.locks


@pytest.mark.parametrize(
    ("nodes", "current", "refused"),
    [
        ({"a": "1", "b": "1"}, TWO, ()),
        ({"a": "2", "b": "2"}, ONE, ()),
        ({"a": "1", "b": "12"}, TWO, ("b",)),
        ({"a": "2", "b": "2", "c": "1"}, ONE, ("c",)),
        ({"a": "1", "b": "2"}, TWO, ("b",)),
        ({"a": "2", "b": "2", "c": "?"}, ONE, ("c",)),
        ({}, TWO, ()),
    ],
)
def test_new_password_in_the_middle_goes_to_the_login_that_fewer_nodes_use(
    nodes: dict[str, str], current: str, refused: tuple[str, ...]
) -> None:
    begun = now(OPEN, OPEN, **nodes)
    assert (begun.current, begun.refused) == (current, refused)


def test_sessions_that_come_and_go_change_no_choice() -> None:
    for one, two in (((), ()), (("10.0.0.1",), ()), ((), ("", "10.0.0.1"))):
        users = replace(OPEN, sessions=one), replace(OPEN, sessions=two)
        assert now(*users).current == TWO
        assert now(*users, a="1", b="2").current == TWO


@pytest.mark.parametrize(
    ("one", "two", "nodes", "current", "refused"),
    [
        (OPEN, None, {"a": "1!", "b": "1!"}, ONE, ()),
        (OPEN, LOCKED, {"a": "1!", "b": "1!"}, ONE, ()),
        (LOCKED, OPEN, {"a": "2!", "b": "2!"}, TWO, ()),
        (LOCKED, LOCKED, {"a": "2!", "b": "2!"}, TWO, ()),
        (OPEN, OPEN, {"a": "2!", "b": "2!"}, TWO, ()),
        (OPEN, OPEN, {"a": "1!", "b": "1!", "c": "2"}, ONE, ()),
        (OPEN, OPEN, {"a": "12!", "b": "2", "c": "2"}, TWO, ("b", "c")),
        (OPEN, OPEN, {"a": "1!", "b": "2!", "c": "2!"}, TWO, ()),
        (OPEN, OPEN, {"a": "1!", "b": "2!"}, ONE, ()),
        (OPEN, LOCKED, {"a": "1!", "b": "?"}, ONE, ("b",)),
    ],
)
def test_password_that_nodes_have_goes_back_to_the_login_that_they_have_it_with(
    one: FoundUser,
    two: FoundUser | None,
    nodes: dict[str, str],
    current: str,
    refused: tuple[str, ...],
) -> None:
    begun = now(one, two, **nodes)
    assert (begun.current, begun.has_password) == (current, False)
    has = "1!" if current == ONE else "2!"
    assert begun.restored == tuple(n for n in nodes if nodes[n].endswith(has))
    assert begun.refused == refused


def test_login_that_works_stays_whatever_nodes_have() -> None:
    state = now(WORKS, OPEN, a="2!", b="2!")
    assert (state.current, state.restored) == (ONE, ())


@pytest.mark.parametrize(
    ("nodes", "held_by"),
    [
        ({"a": "2", "b": "2"}, ()),
        ({"a": "2", "b": ""}, ()),
        ({"a": "2", "b": "12"}, ("used by b",)),
        ({"a": "1", "b": "1"}, ("used by a, b",)),
        ({"a": "", "b": ""}, (f"no node uses {TWO} yet",)),
        ({"a": "2", "b": "?"}, ("nothing says what b will use",)),
    ],
)
def test_former_login_is_locked_when_nodes_left_it(
    nodes: dict[str, str], held_by: tuple[str, ...]
) -> None:
    state = now(OPEN, WORKS, **nodes)
    assert (state.former, state.held_by) == (ONE, held_by)
    assert state.locks == (not held_by)


def test_former_login_is_not_locked_under_a_session() -> None:
    for sessions, why in (
        (("",), "1 session of it"),
        (("10.0.0.7", "10.0.0.7"), "2 sessions of it from 10.0.0.7"),
        (("", "10.0.0.7", "10.0.1.8"), "3 sessions of it from 10.0.0.7, 10.0.1.8"),
    ):
        state = now(WORKS, replace(OPEN, sessions=sessions), a="1")
        assert (state.former, state.held_by) == (TWO, (why,))


def test_second_login_has_its_rights_before_it_works_and_files_come_last() -> None:
    found = FoundDatabase("portway", True, "portway", {ONE: OPEN})
    wanted = replace(WANTED, creates_tables=True)
    done = [str(d) for d in differences(Postgres(), wanted, found)]
    about_two = [text for text in done if TWO in text]
    assert about_two == [
        f"Create the user {TWO}",
        f"Let the user {TWO} find tables in messages, public",
        f"Let the user {TWO} act as {ONE}",
        f"Set the password of the user {TWO} and let it log in",
    ]
    assert done[-1] == about_two[-1]
    in_mysql = differences(MySql(MYSQL), IN_MYSQL, found)
    assert [d.statements[0].split(" IDENT")[0] for d in in_mysql if TWO in str(d)] == [
        f"CREATE USER '{TWO}'@'%'",
        f"GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON `main`.* TO '{TWO}'@'%'",
        f"ALTER USER '{TWO}'@'%'",
    ]
    assert in_mysql[0].statements[0].endswith("ACCOUNT LOCK")


def test_second_login_is_made_together_with_its_membership() -> None:
    """A user of its name without it is somebody else's."""
    created = Postgres().create_user(WANTED, TWO, locked=True)
    assert [statement.split(" PASSWORD")[0] for statement in created] == [
        f'CREATE ROLE "{TWO}" NOLOGIN',
        f'GRANT "{ONE}" TO "{TWO}"',
    ]


def test_user_of_somebody_else_is_left_alone_until_its_name_is_needed() -> None:
    theirs = {Scope(Kind.DATABASE, ("other",)): frozenset({"SELECT"})}
    users = {ONE: WORKS, TWO: replace(OPEN, rights=theirs)}
    found = FoundDatabase("portway", True, "portway", users)
    for dialect, wanted in ((Postgres(), WANTED), (MySql(MYSQL), IN_MYSQL)):
        done = differences(dialect, wanted, found)
        assert not any(TWO in str(difference) for difference in done)
        changed = replace(found, users={**users, ONE: OPEN})
        with pytest.raises(PortwayError, match=f"a user {TWO} that is not Portway's"):
            differences(dialect, wanted, changed)


def test_second_name_that_mysql_does_not_take_is_refused_when_it_is_needed() -> None:
    name = "a" * 25
    wanted = replace(IN_MYSQL, user=name)
    assert rotation(MySql(MYSQL), wanted, FoundDatabase("portway")).current == name
    found = FoundDatabase("portway", users={name: OPEN})
    with pytest.raises(PortwayError, match="up to 24 characters"):
        rotation(MySql(MYSQL), wanted, found)
    for dialect in (MySql(MARIADB), Postgres()):
        mine = replace(wanted, engine=getattr(dialect, "engine", POSTGRES))
        assert rotation(dialect, mine, found).current == f"{name}_portway"


@pytest.mark.parametrize("engine", [MYSQL, MARIADB])
def test_mysql_s_answers_tell_the_two_users_apart(engine: str) -> None:
    wanted = replace(IN_MYSQL, engine=engine)
    answers = catalog.Answers(
        names=[("login", "portway@%"), ("database", "main")],
        accounts=[
            catalog.Account(ONE, "%", 1, 7, None, None, "mysql_native_password", ""),
            catalog.Account(TWO, "%", None, "8", None, -1, "caching_sha2_password", ""),
        ],
        rights=[
            (f"'{ONE}'@'%'", "main", "", "SELECT", "NO"),
            (f"'{TWO}'@'%'", "main", "", "INSERT", "NO"),
        ],
        finer_rights=[],
        roles=[(TWO, "some", "%")],
        sessions=[
            (ONE, "10.0.0.7:4711"),
            ("portway", "10.0.0.7:1"),
            (ONE, "localhost"),
        ],
    )
    found = catalog.found_database(wanted, answers, None, "secret").users
    scope = Scope(Kind.DATABASE, ("main",))
    assert found == {
        ONE: FoundUser(
            keeps_password=False,
            may_log_in=False,
            sessions=("10.0.0.7", "localhost"),
            changed=7,
            rights={scope: frozenset({"SELECT"})},
        ),
        TWO: FoundUser(
            keeps_password=False,
            roles=("'some'@'%'",),
            changed=8,
            rights={scope: frozenset({"INSERT"})},
        ),
    }
