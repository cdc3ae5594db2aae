"""Files that are not described yet, redirects, and a company's own authority.

The servers are real; Artifactory's ways are in ``lab/artifactory/server.py``. The
operator's look-up and the program that nodes download with are held to the same.
"""

import logging
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.artifactory.server import SIGNATURE, Repositories, serving
from portway.application import artifact_http
from portway.application.artifactory import find_release
from portway.contract.artifact_access import (
    api_key_headers,
    password_headers,
    token_headers,
)
from portway.errors import PortwayError
from portway.model.releases import Access, Release
from portway.model.settings import Settings
from tests.certificates import Company, company
from tests.integration.artifacts import REPOSITORY, TOKEN, Artifacts
from tests.integration.node.installer import (
    Result,
    fetch,
    program_is_removed,
)

__all__ = ["program_is_removed"]

PATH = "message-app/1.0.0/message-app-1.0.0.tar.gz"
SECRET = "the-secret-of-the-repository"


def find(
    settings: Settings, access: Access | None = None, said: list[str] | None = None
) -> Release:
    known = access if access is not None else Access(token_headers(TOKEN))
    say = said.append if said is not None else lambda _: None
    return find_release(settings, known, say=say, sleep=lambda _: None)


def refusal(settings: Settings, access: Access | None = None) -> str:
    with pytest.raises(PortwayError) as caught:
        find(settings, access)
    whole = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in whole
    assert SIGNATURE not in caught.value.message
    return caught.value.message


def download(tmp_path: Path, release: Release, access: Access) -> Result:
    return fetch(
        tmp_path / "opt",
        release,
        headers=dict(access.headers),
        authorities=access.authorities,
    )


def downloaded(tmp_path: Path, release: Release, access: Access) -> None:
    result = download(tmp_path, release, access)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "fault", [{"remote": True}, {"api_status": 403}, {"api_status": 401}]
)
def test_pinned_file_that_is_not_described_is_found_and_not_read(
    artifacts: Artifacts, fault: dict[str, object]
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(**fault)
    said: list[str] = []
    assert find(artifacts.settings(artifact_sha256=built.sha256), None, said) == built
    assert said == []


def test_file_that_is_not_cached_is_read_once_and_then_described(
    artifacts: Artifacts,
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True)
    said: list[str] = []
    assert find(artifacts.settings(), None, said) == built
    assert f"does not describe {REPOSITORY}/{PATH}" in said[0]
    before = len(artifacts.served.requests)
    assert find(artifacts.settings(), None, said) == built
    assert len(artifacts.served.requests) == before + 1
    assert len(said) == 1


def test_file_that_is_not_described_and_not_there_is_told(
    artifacts: Artifacts,
) -> None:
    artifacts.go_wrong(remote=True)
    text = refusal(artifacts.settings(artifact_sha256="a" * 64))
    assert f"has no {REPOSITORY}/{PATH}" in text


def test_file_that_is_not_described_and_breaks_off_is_told(
    artifacts: Artifacts,
) -> None:
    artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, truncate=1000)
    assert "reading Artifactory's answer failed" in refusal(artifacts.settings())


def test_file_that_takes_too_long_to_read_is_told_with_the_setting(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True)
    monkeypatch.setattr(artifact_http, "LONGEST_READ", 0.0)
    text = refusal(artifacts.settings())
    assert "takes longer than 0 s" in text
    assert "set artifact_sha256" in text
    assert "run again" not in text


def test_signature_of_a_redirect_is_in_no_log(
    artifacts: Artifacts, storage: Artifacts, caplog: pytest.LogCaptureFixture
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect=f"{storage.url}/")
    with caplog.at_level(logging.DEBUG):
        assert find(artifacts.settings()) == built
    assert SIGNATURE in "".join(storage.served.requests)
    assert PATH in caplog.text
    assert SIGNATURE not in caplog.text


def test_web_page_in_place_of_a_file_is_told(artifacts: Artifacts) -> None:
    artifacts.build("1.0.0")
    artifacts.go_wrong(api_status=404, page="<html>Sign in</html>")
    assert "is a web page, not an archive" in refusal(artifacts.settings())


CREDENTIALS = {
    "token": token_headers(SECRET),
    "password": password_headers("ci", SECRET),
    "API key": api_key_headers(SECRET),
}


@pytest.fixture(params=sorted(CREDENTIALS))
def access(request: pytest.FixtureRequest, artifacts: Artifacts) -> Access:
    """Each kind of credential, which alone opens the repository."""
    headers = CREDENTIALS[request.param]
    ((name, value),) = headers.items()
    artifacts.served.header = (name, value)
    return Access(headers)


@pytest.fixture
def storage(artifacts: Artifacts) -> Iterator[Artifacts]:
    """Another server, which has the files, as S3 has those of Artifactory."""
    other = Repositories(artifacts.served.folder, is_storage=True)
    with serving(other) as url:
        yield Artifacts(url.replace("127.0.0.1", "localhost"), other)


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's own passwords, which are for other programs."""
    (tmp_path / "netrc").write_text("default login me password my-own-password\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.usefixtures("netrc")
def test_another_host_never_sees_the_credential(
    artifacts: Artifacts, storage: Artifacts, access: Access, tmp_path: Path
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect=f"{storage.url}/")
    assert find(artifacts.settings(), access) == built
    downloaded(tmp_path, built, access)
    assert len(storage.served.received) == 2
    for head in storage.served.received:
        lower = head.lower()
        assert "authorization" not in lower
        assert "x-jfrog" not in lower
        for value in access.headers.values():
            assert value not in head
    asked = [f"{name}: {value}" for name, value in access.headers.items()]
    for head in artifacts.served.received:
        assert all(line.lower() in head.lower() for line in asked)


@pytest.mark.usefixtures("netrc")
def test_another_path_of_the_same_host_gets_the_credential(
    artifacts: Artifacts, access: Access, tmp_path: Path
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect="/artifactory/moved/")
    assert find(artifacts.settings(), access) == built
    downloaded(tmp_path, built, access)


def test_sum_that_artifactory_states_spares_reading_the_file(
    artifacts: Artifacts, storage: Artifacts
) -> None:
    built = artifacts.build("1.0.0")
    fault = {"api_status": 403, "redirect": f"{storage.url}/"}
    artifacts.go_wrong(**fault, stated=built.sha256.upper())
    said: list[str] = []
    assert find(artifacts.settings(), None, said) == built
    assert said == []
    text = refusal(artifacts.settings(artifact_sha256="a" * 64))
    assert f"but Artifactory gives {built.sha256}" in text


def test_sum_that_another_host_states_is_not_believed(
    artifacts: Artifacts, storage: Artifacts, tmp_path: Path
) -> None:
    built = artifacts.build("1.0.0")
    storage.served.faults_file = tmp_path / "storage.json"
    storage.go_wrong(stated="f" * 64)
    artifacts.go_wrong(api_status=403, redirect=f"{storage.url}/")
    assert find(artifacts.settings()) == built


def test_another_port_of_the_same_host_is_another_host(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    access = Access(api_key_headers(SECRET))
    artifacts.served.header = ("X-JFrog-Art-Api", SECRET)
    built = artifacts.build("1.0.0")
    other = Repositories(artifacts.served.folder, is_storage=True)
    with serving(other) as url:
        artifacts.go_wrong(remote=True, redirect=f"{url}/")
        assert find(artifacts.settings(), access) == built
        downloaded(tmp_path, built, access)
    assert len(other.received) == 2
    assert not any(
        v in head for head in other.received for v in access.headers.values()
    )


def test_refusal_of_another_host_names_it_and_not_its_url(
    artifacts: Artifacts, storage: Artifacts, tmp_path: Path
) -> None:
    built = artifacts.build("1.0.0")
    assert storage.served.faults_file is None
    storage.served.is_storage, storage.served.token = False, "another"
    artifacts.go_wrong(remote=True, redirect=f"{storage.url}/")
    host = storage.url.removesuffix("/artifactory")
    text = refusal(artifacts.settings())
    assert f"{host}, to which Artifactory redirects, answers HTTP 401" in text
    said = download(tmp_path, built, Access(token_headers(TOKEN))).stderr
    assert f"HTTP 401 for the download: that is {host}, to which" in said
    assert SIGNATURE not in said


def test_unreachable_redirect_is_told_without_its_signature(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect="http://localhost:1/")
    text = refusal(artifacts.settings())
    assert "cannot be reached at http://localhost:1 (by a redirect)" in text
    said = download(tmp_path, built, Access(token_headers(TOKEN))).stderr
    assert "Connection refused" in said
    assert SIGNATURE not in said


@pytest.mark.parametrize("target", ["ftp://localhost/", "file:///etc/", "http://[::1/"])
def test_redirect_to_something_else_is_refused(
    artifacts: Artifacts, tmp_path: Path, target: str
) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect=target)
    assert "what is no http or https address" in refusal(artifacts.settings())
    said = download(tmp_path, built, Access(token_headers(TOKEN)))
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert "check artifactory_url" in said.stderr
    assert SIGNATURE not in said.stderr


def test_redirects_in_a_circle_are_told(artifacts: Artifacts, tmp_path: Path) -> None:
    built = artifacts.build("1.0.0")
    artifacts.go_wrong(remote=True, redirect="/artifactory/")
    assert "redirects more than" in refusal(artifacts.settings())
    said = download(tmp_path, built, Access(token_headers(TOKEN))).stderr
    assert "redirects more than 10 times" in said
    assert "check artifactory_url" in said
    assert len(artifacts.served.requests) == 23  # 1 for the description, 2 times 11


@pytest.fixture
def made(tmp_path: Path) -> Company:
    return company(tmp_path)


@pytest.fixture
def private(artifacts: Artifacts, made: Company) -> Iterator[Artifacts]:
    """The same repository with TLS, whose certificate a company's authority issued."""
    with serving(artifacts.served, made.server) as url:
        yield Artifacts(url, artifacts.served)


@pytest.fixture
def as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags that Python 3.13 has by default (What's New in 3.13, ssl)."""
    default = ssl.create_default_context

    def newer(*args: object, **arguments: object) -> ssl.SSLContext:
        context = default(*args, **arguments)  # type: ignore[arg-type]
        context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    monkeypatch.setattr(ssl, "create_default_context", newer)


@pytest.mark.usefixtures("as_python_3_13")
@pytest.mark.parametrize("anchor", ["root", "lower"])
def test_company_s_own_authority_is_taken_by_operator_and_node(
    private: Artifacts, made: Company, tmp_path: Path, anchor: str
) -> None:
    built = private.build("1.0.0")
    access = Access(token_headers(TOKEN), getattr(made, anchor))
    assert find(private.settings(), access) == built
    downloaded(tmp_path, built, access)


def test_authority_that_nobody_named_is_refused_with_the_setting(
    private: Artifacts, tmp_path: Path
) -> None:
    built = private.build("1.0.0")
    access = Access(token_headers(TOKEN))
    text = refusal(private.settings(), access)
    assert "certificate verify failed" in text
    assert "artifactory_ca_file" in text
    said = download(tmp_path, built, access).stderr
    assert "certificate verify failed" in said
    assert "artifactory_ca_file" in said
    assert private.served.received == []


def test_authority_of_one_server_is_not_enough_for_another(
    private: Artifacts, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = company(tmp_path / "other")
    private.build("1.0.0")
    text = refusal(private.settings(), Access({}, other.root))
    assert "certificate verify failed" in text


def test_sum_never_comes_by_a_redirect_to_plain_http(
    private: Artifacts, storage: Artifacts, made: Company
) -> None:
    private.build("1.0.0")
    access = Access(token_headers(TOKEN), made.root)
    private.go_wrong(remote=True, redirect=f"{storage.url}/")
    text = refusal(private.settings(artifactory_plain_http=False), access)
    assert "redirects to plain http" in text
    assert "set artifact_sha256" in text
    assert "artifactory_plain_http = True" in text
    assert storage.served.received == []


KNOWN_BY: dict[str, dict[str, object]] = {
    "storage API": {},
    "setting": {"remote": True},
    "header": {"api_status": 403},
    "nothing": {"remote": True},
}
"""What gives the sum, and what goes wrong in Artifactory, so that nothing else does."""


@pytest.mark.parametrize("known_by", KNOWN_BY)
def test_archive_with_a_known_sum_comes_by_a_redirect_to_plain_http(
    private: Artifacts,
    storage: Artifacts,
    made: Company,
    tmp_path: Path,
    known_by: str,
) -> None:
    """Or with none, if somebody says that nobody is on the way."""
    built = private.build("1.0.0")
    access = Access(token_headers(TOKEN), made.root)
    stated = {"stated": built.sha256} if known_by == "header" else {}
    private.go_wrong(**KNOWN_BY[known_by], **stated, redirect=f"{storage.url}/")
    settings = private.settings(
        artifact_sha256=built.sha256 if known_by == "setting" else None,
        artifactory_plain_http=known_by == "nothing",
    )
    assert find(settings, access) == built
    downloaded(tmp_path, built, access)
    assert storage.served.received
    assert TOKEN not in "".join(storage.served.received)


def test_archive_that_plain_http_changed_is_refused(
    private: Artifacts, storage: Artifacts, made: Company, tmp_path: Path
) -> None:
    built = private.build("1.0.0")
    access = Access(token_headers(TOKEN), made.root)
    storage.served.folder = tmp_path / "changed"
    Artifacts(storage.url, storage.served).build("1.0.0")
    archive = storage.folder / PATH
    archive.write_bytes(archive.read_bytes() + b"more")
    private.go_wrong(redirect=f"{storage.url}/")
    assert find(private.settings(artifactory_plain_http=False), access) == built
    said = download(tmp_path, built, access).stderr
    assert f"not {built.sha256}; the file was discarded" in said


def test_sum_is_not_believed_where_plain_http_leads_back(
    private: Artifacts, made: Company, tmp_path: Path
) -> None:
    """Whoever is on the plain way could lead to another archive of Artifactory's."""
    built = private.build("1.0.0")

    class Between(Repositories):
        def fault(self, name: str) -> object:
            if name != "redirect":
                return None
            private.go_wrong(api_status=403, stated="f" * 64)
            return f"{private.url}/moved/"

    with serving(Between(private.served.folder)) as url:
        private.go_wrong(api_status=403, stated=built.sha256, redirect=f"{url}/")
        access = Access(token_headers(TOKEN), made.root)
        assert find(private.settings(artifactory_plain_http=False), access) == built
