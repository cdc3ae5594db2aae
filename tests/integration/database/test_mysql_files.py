"""SQL files on MariaDB and MySQL: cut as the client cuts, refused before they begin."""

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from portway.database.mysql.splitting import CONDITION, statements
from portway.errors import PortwayError
from tests.integration.database.places import RunningServer, sql_file
from tests.integration.database.runs import TABLES, deploy, look

TRIGGER = "CREATE TRIGGER t BEFORE INSERT ON received FOR EACH ROW SET NEW.id = 1"
FUNCTION = "CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1"
OF_ROOT = "DEFINER=`root`@`localhost`"


@pytest.fixture
def trusting(mysql_like: RunningServer) -> Iterator[None]:
    mysql_like.ask("SET GLOBAL log_bin_trust_function_creators = 1")
    yield
    mysql_like.ask("SET GLOBAL log_bin_trust_function_creators = 0")


REFUSED = {
    f"{TRIGGER};": "log_bin_trust_function_creators",
    f"DELIMITER //\n{FUNCTION}//": "log_bin_trust_function_creators",
    f"CREATE {OF_ROOT} PROCEDURE p() SELECT 1;": "DEFINER=`root`@`localhost`",
    f"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 {OF_ROOT} SQL SECURITY DEFINER "
    "*/\n/*!50001 VIEW v AS SELECT 1 AS one */;": "DEFINER=`root`@`localhost`",
    f"CREATE OR REPLACE {OF_ROOT} VIEW v AS SELECT 1;": "take the DEFINER clause out",
    "USE other_db;": "USE other_db: the application has rights in",
    "use `other_db`": "use `other_db`: the application has rights in",
    "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other_db`;": "other_db",
    "CREATE TABLE other_db.t (id int);": "CREATE TABLE in other_db",
    "CREATE VIEW `other_db`.`v` AS SELECT 1;": "CREATE VIEW in other_db",
    "SET @@SESSION.SQL_LOG_BIN= 0;": "--set-gtid-purged=OFF",
    "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '';": "--set-gtid-purged=OFF",
    "source other.sql\n": "source is a command of the mariadb client",
}


@pytest.mark.parametrize("bad", REFUSED)
def test_what_would_stop_a_file_half_way_is_refused_before_anything(
    mysql_like: RunningServer, bad: str
) -> None:
    text = f"CREATE TABLE a (id int); -- ;\n{bad}\n"
    place = mysql_like.new_place(files=(TABLES, sql_file("002.sql", text)))
    with pytest.raises(PortwayError) as refusal:
        deploy(place)
    assert "sql: 002.sql: line " in refusal.value.message
    assert REFUSED[bad] in refusal.value.message
    users = f"SELECT 1 FROM mysql.user WHERE User = '{place.wanted.user}'"
    assert not mysql_like.ask(users)


@pytest.mark.usefixtures("trusting")
def test_what_only_looks_like_it_is_applied(mysql_like: RunningServer) -> None:
    place = mysql_like.new_place()
    name = place.wanted.database
    text = f"""
-- USE other_db;
USE {name};
INSERT INTO received (id, body) VALUES (7, 'x; USE other_db; {OF_ROOT}');
/* {TRIGGER}; */
{TRIGGER};
DELIMITER //
CREATE DEFINER=CURRENT_USER FUNCTION {name}.f() RETURNS varchar(99) DETERMINISTIC
BEGIN
  -- a // in a comment
  /* and // here */ # and // there
  RETURN 'http://x; {TRIGGER}';
END//
CREATE DEFINER=portway@'%' PROCEDURE p() BEGIN SELECT '//'; SELECT "//"; END //
DELIMITER ;
CALL p();
"""
    files = (TABLES, sql_file("002.sql", text))
    place = mysql_like.new_place(database=name, schema=name, files=files)
    deploy(place)
    assert place.as_application("SELECT f()") == ((f"http://x; {TRIGGER}",),)
    assert look(place) == ()


def test_right_that_the_master_lacks_is_told_before(mysql_like: RunningServer) -> None:
    place = mysql_like.new_place(
        files=(
            sql_file("001.sql", "CREATE TABLE a (id int); CREATE VIEW v AS SELECT 1;"),
        )
    )
    mysql_like.ask("REVOKE CREATE VIEW ON *.* FROM portway")
    try:
        with pytest.raises(PortwayError, match="lacks the right CREATE VIEW"):
            deploy(place)
        mysql_like.ask(f"GRANT CREATE VIEW ON {place.wanted.database}.* TO portway")
        deploy(place)
    finally:
        mysql_like.ask("GRANT CREATE VIEW ON *.* TO portway WITH GRANT OPTION")


CUTTING = [
    "SELECT 1;SELECT 2 ; SELECT 'a;b', \"c;d\", `e;f` FROM (SELECT 1 `e;f`) x;",
    "SELECT 'it''s; \\'; --'; -- x; y\nSELECT 2; # z; z\n/* a; b */ SELECT 3;",
    "DELIMITER //\nSELECT '//', \"//\" -- //\n, 3 /* // */ // SELECT 4//\nDELIMITER ;\n"
    "SELECT 5;",
    "delimiter $$\nSELECT 1; SELECT 2$$ DELIMITER ;\nSELECT 3;",
    "DELIMITER ;;\nSELECT 1;;\nDELIMITER ; -- back\nSELECT 2;\n--x\n--y;\nSELECT 3",
    "/*!40101 SELECT 1 */;\nDELIMITER ;;\n/*!50003 SELECT 2 */;;\nDELIMITER ;\nDO 3;",
    "SELECT 1\nDELIMITER //\nSELECT 2//",
    "DELIMITER |\r\nSELECT 1|\r\nDELIMITER ;\r\nSELECT 2;\r\n",
    "SELECT 5--1;\nSELECT 6 -- 1;\n;",
    "SELECT `a\\`, 2 FROM (SELECT 1 `a\\`) x;\nSELECT 3;",
]


@pytest.mark.parametrize("text", CUTTING)
def test_file_is_cut_where_the_client_cuts_it(
    mariadb: RunningServer, text: str
) -> None:
    client = shutil.which("mariadb") or "mariadb"
    said = subprocess.run(
        [
            *(client, "--no-defaults", f"--socket={mariadb.socket}", "--user=root"),
            *("--verbose", "--force"),
        ],
        input=text,
        check=False,
        capture_output=True,
        text=True,
    ).stdout
    dashes = "-" * 14
    sent = re.findall(rf"^{dashes}\n(.*?)\n{dashes}$", said, re.DOTALL | re.MULTILINE)
    theirs = ["".join(CONDITION.sub("", query).split()) for query in sent]
    assert ["".join(s.code.split()) for s in statements(text)] == theirs
