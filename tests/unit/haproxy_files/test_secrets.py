"""No word of a file that may be secret is printed."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from portway.cli.compare import command
from tests.unit.haproxy_files.said import PLAIN

SECRET = "c2VjcmV0"
WEB = PLAIN + " mode http\n"


@pytest.mark.parametrize(
    "old",
    [
        WEB + f' http-request set-header Authorization "Basic {SECRET}"\n',
        WEB + f" http-response set-header X-Token {SECRET}\n",
        WEB + f" reqadd Authorization:\\ Basic\\ {SECRET}\n",
        WEB + f" http-request deny if {{ req.hdr(X-Token) {SECRET} }}\n",
        WEB + f" http-request return string {SECRET}\n",
        WEB + f" use_backend one if {{ req.hdr(X-Token) {SECRET} }}\n",
        WEB + f" redirect location https://user:{SECRET}@a.example/\n",
        WEB + f" stats auth user:{SECRET}\n",
        WEB + f' http-request set-header Authorization "$X {SECRET}"\n',
        PLAIN + f" tcp-request content set-dst str({SECRET})\n",
        PLAIN + f" a-word-of-2031 {SECRET}\n",
        PLAIN.replace("10.0.0.1:80", f"10.0.0.1:80 check agent-send {SECRET}"),
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 check")
        + f" option tcp-check\n tcp-check send AUTH\\ {SECRET}\n",
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 check")
        + f" option httpchk GET /up?token={SECRET}\n",
        PLAIN.replace("10.0.0.1:80", "10.0.0.1:80 check")
        + f" option httpchk\n http-check connect\n http-check send hdr X {SECRET}\n",
        f"userlist u\n user a insecure-password {SECRET}\n" + PLAIN,
    ],
)
def test_secret_is_not_printed(old: str, tmp_path: Path) -> None:
    paths = [tmp_path / "old.cfg", tmp_path / "new.cfg"]
    for path, text in zip(paths, (old, PLAIN), strict=True):
        path.write_text(text)
    words = [str(paths[0]), "--with", str(paths[1])]
    for more in ((), ("--json",)):
        said = CliRunner().invoke(command, [*words, *more])
        assert isinstance(said.exception, SystemExit | None)
        assert SECRET not in said.output
    assert json.loads(said.output)["ports"]
