"""`deploys/db.py` as users run it: pyinfra, boto3, SSH and PostgreSQL, all for real."""

import re
from dataclasses import replace

import pytest

from portway.database.state import POSTGRES
from tests.integration.database.operator import (
    IMPATIENT,
    LEAKS,
    LOUD,
    Operator,
    changes,
    secrets_in,
)
from tests.integration.database.places import HOST, MASTER

ENGINES = ["system_postgres", "mariadb"]
BOTH = pytest.mark.parametrize("operator", ENGINES, indirect=True)


@BOTH
def test_dry_run_lists_what_the_run_does_and_the_second_does_nothing(
    operator: Operator,
) -> None:
    user = operator.place.wanted.user
    planned = operator.run("--dry")
    assert planned.returncode == 0
    assert f"Create the user {user}" in changes(planned.stdout)
    if operator.place.wanted.engine == POSTGRES:
        assert "Create the schema messages" in changes(planned.stdout)
    done = operator.run("-y")
    assert done.returncode == 0, done.stdout
    assert changes(done.stdout)[:-1] == changes(planned.stdout)
    operator.place.as_application("SELECT 1")
    for again in (operator.run("-y"), operator.run("--dry")):
        assert again.returncode == 0
        assert changes(again.stdout) == []
    assert all(b"/lease" in command for command in operator.node.server.commands), (
        "nothing else needs to run on the node"
    )
    assert set(operator.node.server.asked) == {(HOST, operator.place.server.port)}


def test_run_that_is_confirmed_does_the_same(operator: Operator) -> None:
    done = operator.run(answer="\n")
    assert done.returncode == 0, done.stdout
    operator.place.as_application("SELECT 1")
    assert changes(operator.run("--dry").stdout) == []


@BOTH
def test_rotated_secret_gets_a_login_of_its_own_and_the_former_one_still_works(
    operator: Operator,
) -> None:
    operator.run("-y")
    old = replace(operator.place)
    first, second = old.wanted.user, old.wanted.second
    operator.rotate_application_secret()
    expected = f"Set the password of the user {second} and let it log in"
    planned = operator.run("--dry").stdout
    assert changes(planned)[-1] == expected
    done = operator.run("-y").stdout
    assert changes(done)[:-1] == changes(planned)
    told = f"login {second} gets the application's new password; {first} is locked when"
    assert told in done
    assert "cannot ask" not in done
    operator.place.as_application("SELECT 1", user=second)
    old.as_application("SELECT 1")


def test_rotated_password_that_the_database_lost_goes_back_to_the_login_of_the_nodes(
    operator: Operator,
) -> None:
    operator.run("-y")
    place, folder = operator.place, operator.node.server.files / "etc/message-app"
    for user in (place.wanted.user, place.wanted.second):
        if user == place.wanted.second:
            operator.rotate_application_secret()
            operator.run("-y")
        folder.mkdir(parents=True, exist_ok=True)
        config = f"user = {user}\npassword = {place.password}\n"
        (folder / "message-app.conf").write_text(config)
        (folder / "listeners").write_text(f"login {user}\n")
        place.server.ask(f"ALTER ROLE {user} PASSWORD 'drifted'")
        done = operator.run("-y", *LOUD).stdout
        assert f"Set the password of the user {user}" in changes(done)
        assert "it gets back the one that app-1, app-2 have" in done
        place.as_application("SELECT 1", user=user)
    assert secrets_in(operator.said, operator) == []
    assert not any(
        place.password.encode() in line for line in operator.node.server.commands
    )


@BOTH
def test_no_secret_is_in_anything_printed_however_loud(operator: Operator) -> None:
    operator.inventory_code = IMPATIENT
    for options in (("--dry", *LOUD), ("-y", *LOUD), ("-y", *LOUD)):
        assert operator.run(*options).returncode == 0
    operator.rotate_application_secret()
    operator.run("-y", *LOUD)
    operator.run("--dry", "--debug-operations", *LOUD)
    operator.set_secret("master", MASTER, operator.remember("wrong" * 8))
    failed = operator.run("-y", *LOUD)
    assert failed.returncode != 0
    assert secrets_in(operator.said, operator) == []
    assert "botocore" in failed.stdout, "debug logs of all packages are on"


@pytest.mark.parametrize("leak", LEAKS)
def test_secret_that_is_leaked_on_purpose_is_found(
    operator: Operator, leak: str
) -> None:
    operator.inventory_code = LEAKS[leak]
    operator.run("-y", *LOUD)
    assert secrets_in(operator.said, operator) != []


def test_run_says_what_it_changes_and_how_it_ends(operator: Operator) -> None:
    first = operator.run("-y", quiet=True)
    user = operator.place.wanted.user
    made = (
        rf"operation: Create the user {user} *\n +\[app-1\] database .*: to do: Create"
    )
    assert re.search(made, first.stdout)
    assert "[app-1] Success" in first.stdout
    end = r" +app-2  no changes\n +exit status 0, after [0-9.]+ s\n"
    assert re.search(rf"--> Done\n +app-1  [0-9]+ changes: .*\n{end}", first.stdout)
    again = operator.run("-y", quiet=True)
    assert re.search(rf"--> Done\n +app-1  no changes\n{end}", again.stdout)
    assert "Starting operation" not in again.stdout
    for needless in ("No changes", "Skipped", "Grand total"):
        assert needless not in first.stdout + again.stdout
    folder = operator.folder / "sql"
    folder.mkdir()
    (folder / "001.sql").write_text("CREATE TABLE broken;")
    option = ("--data", f"database_sql_dir={folder}")
    broken = operator.run("-y", *option, quiet=True).stdout
    assert re.search(
        r"--> Stopped: the reason is above\n +app-1  failed: Apply", broken
    )
    operator.secrets.put_secret_value(SecretId="application", SecretString="{}")
    failed = operator.run("-y", quiet=True)
    assert failed.returncode == 1
    assert re.search(r"--> Stopped: .*secret application", failed.stdout)
    assert "exit status 1" in failed.stdout.splitlines()[-1]
    assert "pyinfra error" not in failed.stdout


def failure(operator: Operator) -> str:
    """What a failing run says after connecting."""
    result = operator.run("-y")
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    return result.stdout.partition("--> Connecting")[2]


def test_wrong_master_password_is_told_in_one_paragraph(operator: Operator) -> None:
    operator.inventory_code = IMPATIENT
    operator.set_secret("master", MASTER, "wrong")
    said = failure(operator)
    assert f"{MASTER} cannot log in" in said
    assert "RDS may be rotating it" in said


def test_unreachable_database_is_told_with_the_node_that_tried(
    operator: Operator,
) -> None:
    operator.inventory_code = IMPATIENT
    operator.node.server.target = 1
    said = failure(operator)
    assert "app-1 does not reach the database at " + HOST in said
    assert "security group" in said


def test_node_that_forwards_nothing_is_told(operator: Operator) -> None:
    operator.node.server.forwards = False
    assert "AllowTcpForwarding" in failure(operator)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("no JSON, but pass-word", "is not a JSON object"),
        ('{"username": "application"}', 'has no "password"'),
        ('{"username": "a b", "password": "pass-word"}', '"username" must be'),
        ('{"username": "a", "password": "pass-w\\u00f6rd"}', "printable ASCII"),
    ],
)
def test_unfit_secret_is_told_without_its_content(
    operator: Operator, value: str, told: str
) -> None:
    operator.secrets.put_secret_value(SecretId="application", SecretString=value)
    said = failure(operator)
    assert told in said
    assert "secret application" in said
    assert "pass-w" not in said


@BOTH
def test_sql_files_are_applied_once_and_a_changed_one_stops_the_run(
    operator: Operator,
) -> None:
    folder = operator.folder / "sql"
    folder.mkdir()
    (folder / "001.sql").write_text("CREATE TABLE received (id int);")
    (folder / "002.sql").write_text("CREATE TABLE broken;")
    option = ("--data", f"database_sql_dir={folder}")
    said = operator.run("-y", *option)
    assert said.returncode != 0
    assert "SQL file 002.sql: refused" in said.stdout
    assert "Traceback" not in said.stdout
    (folder / "002.sql").write_text("CREATE TABLE mended (id int);")
    assert changes(operator.run("-y", *option).stdout)[0] == "Apply SQL file 002.sql"
    assert changes(operator.run("-y", *option).stdout) == []
    operator.place.as_application("SELECT * FROM received, mended")
    (folder / "001.sql").write_text("CREATE TABLE other (id int);")
    changed = operator.run("-y", *option)
    assert changed.returncode != 0
    assert "001.sql: was changed after it had been applied" in changed.stdout
    assert "Starting operation" not in changed.stdout
