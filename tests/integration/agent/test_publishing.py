"""A release is published for a stack, and a node takes it: whole, verified, or not."""

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from portway.agent.store import CHECKS, KEPT, Store, _members
from portway.aws import releases
from portway.aws.releases import (
    end_trial,
    fetch,
    publish,
    published_release,
    put_on_trial,
    release_bucket,
)
from portway.contract.archives import ENVIRONMENTS, PROJECT
from portway.errors import PortwayError
from portway.model.published import NAMESPACE, Published
from tests.integration.cloudformation.test_agent import create_agent
from tests.integration.conftest import REGION, STACK, Account

Make = Callable[..., Path]


@pytest.fixture
def agent(account: Account) -> Account:
    """An account with both stacks."""
    account.create()
    create_agent(account)
    return account


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes archives like those of ``portway release build``, only smaller."""

    def make(
        version: str,
        program: str = "#!/bin/sh\n",
        name: str = "portway",
        *,
        checks: bool = True,
        wheel: str = "",
    ) -> Path:
        (tmp_path / "made").mkdir(exist_ok=True)
        part = tmp_path / "made" / "part"
        with tarfile.open(part, "w") as tar:
            files = {f"bin/{name}": program, "bin/pyinfra": "#!/bin/sh\n"}
            if checks:
                files[CHECKS] = ""
            if wheel:
                files["wheels/one.whl"] = wheel
            for path, content in (files | {"project/config.py": ""}).items():
                info = tarfile.TarInfo(f"portway-{version}/{path}")
                info.size, info.mode = len(content), 0o755
                tar.addfile(info, io.BytesIO(content.encode()))
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        return part.rename(part.with_name(f"portway-{version}-{digest[:12]}.tar"))

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "portway")


def put(archive: Path) -> Published:
    return publish(REGION, STACK, archive, release_bucket(REGION, STACK))


def given(archive: Path) -> str:
    """What the release of an archive is called on a node."""
    return archive.name.removesuffix(".tar")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key of somebody who may sign releases."""
    return new_key(tmp_path / "anna")


@pytest.fixture
def asking(tmp_path: Path, key: Path) -> Store:
    """A node's releases, of which each must be signed with that key."""
    signers = tmp_path / "signers"
    public = key.with_suffix(".pub").read_text()
    signers.write_text(f"# Who signs\nanna@example.com {public}")
    return Store(tmp_path / "portway", signers=signers)


def new_key(file: Path) -> Path:
    words = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))
    subprocess.run(words, check=True)
    return file


def sign(archive: Path, key: Path, namespace: str = NAMESPACE) -> None:
    """What docs/agent.md says."""
    words = ("ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace)
    archive.with_name(f"{archive.name}.sig").unlink(missing_ok=True)
    subprocess.run([*words, str(archive)], check=True)


def test_nothing_is_published_at_first(agent: Account) -> None:
    assert published_release(REGION, STACK) is None


def test_what_is_published_is_taken_once(
    agent: Account, make: Make, store: Store
) -> None:
    archive = make("1")
    published = put(archive)
    assert published_release(REGION, STACK) == published

    assert store.update(REGION, published)
    assert store.current == given(archive)
    assert (store.link / "bin" / "portway").stat().st_mode & 0o777 == 0o755
    agent.client("s3").delete_object(Bucket=published.bucket, Key=published.name)
    assert not store.update(REGION, published)


def test_archive_that_is_there_is_not_sent_again(agent: Account, make: Make) -> None:
    first, second = make("1"), make("2")
    s3, sent = agent.client("s3"), put(first)
    place = {"Bucket": sent.bucket, "Key": sent.name}
    mark = [{"Key": "marked", "Value": "yes"}]
    s3.put_object_tagging(**place, Tagging={"TagSet": mark})
    put(second)
    assert put(first) == published_release(REGION, STACK) == sent
    assert s3.get_object_tagging(**place)["TagSet"] == mark, "it was written again"

    s3.put_object(**place, Body=b"something else")
    put(first)
    assert s3.get_object(**place)["Body"].read() == first.read_bytes()


def test_it_goes_back_without_fetching(
    agent: Account, make: Make, store: Store
) -> None:
    old, new = make("1"), make("2")
    for archive in (old, new):
        store.update(REGION, put(archive))
    assert store.current == given(new)
    published = put(old)
    agent.client("s3").delete_object(Bucket=published.bucket, Key=published.name)
    assert store.update(REGION, published)
    assert store.current == given(old)


def test_modules_are_compiled_once(agent: Account, make: Make, store: Store) -> None:
    """Those of pyinfra's runs, which would not keep them."""
    store.update(REGION, put(make("1")))
    (found,) = (store.link / PROJECT).glob("__pycache__/config.*.pyc")
    assert found.stat().st_size


def test_packages_that_are_the_same_are_shared(
    agent: Account, make: Make, store: Store
) -> None:
    store.update(REGION, put(make("1", wheel="content")))
    module = Path(ENVIRONMENTS, "here", "module.py")

    def place() -> Path:
        return store.link.resolve() / module

    unpacked = place()
    unpacked.parent.mkdir(parents=True)
    unpacked.write_text("pass\n")
    store.update(REGION, put(make("2", wheel="content")))
    assert place().samefile(unpacked)
    store.update(REGION, put(make("3", wheel="contents")))
    assert not place().exists()
    store.update(REGION, put(make("1", wheel="content")))
    starts = f"#!/bin/sh\n[ ! -e $(dirname $0)/../{module} ]\n"
    store.update(REGION, put(make("4", starts, wheel="content")))
    assert not place().exists(), "what is damaged there is not shared"
    assert store.current.startswith("portway-4-")


def test_the_last_ones_in_use_stay(agent: Account, make: Make, store: Store) -> None:
    archives = [make(str(number)) for number in range(KEPT + 2)]
    for number, archive in enumerate((*archives, archives[0])):
        store.update(REGION, put(archive))
        os.utime(store.root / "releases" / given(archive), (number, number))
    kept = {path.name for path in (store.root / "releases").iterdir()}
    assert kept == {given(archive) for archive in (archives[0], *archives[-2:])}


def test_the_one_before_stays_whatever_its_time(
    agent: Account, make: Make, store: Store
) -> None:
    archives = [make(str(number)) for number in range(KEPT)]
    for archive in archives:
        store.update(REGION, put(archive))
    os.utime(store.root / "releases" / given(archives[-1]), (1, 1))
    store.update(REGION, put(make("new")))
    kept = {path.name for path in (store.root / "releases").iterdir()}
    assert given(archives[-1]) in kept
    assert len(kept) == KEPT


def test_folders_are_roots_whatever_the_mask(
    agent: Account, make: Make, store: Store
) -> None:
    before = os.umask(0)
    try:
        store.update(REGION, put(make("1")))
    finally:
        assert os.umask(before) == 0
    for path in (store.root, *store.root.rglob("*")):
        assert path.is_symlink() or not path.stat().st_mode & 0o022, path


def test_other_bytes_than_were_published_are_refused(
    agent: Account, make: Make, store: Store
) -> None:
    good, bad = make("1"), make("2")
    store.update(REGION, put(good))
    published = put(bad)
    agent.client("s3").put_object(
        Bucket=published.bucket, Key=published.name, Body=bad.read_bytes() + b"x"
    )
    with pytest.raises(PortwayError, match=r"its SHA-256 is .* was published"):
        store.update(REGION, published)
    assert store.current == given(good)
    assert [f.name for f in (store.root / "releases").iterdir()] == [given(good)]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (("#!/bin/sh\necho no Python >&2; exit 1\n",), "cannot start on this"),
        (("#!/nowhere/sh\n",), "cannot start: "),
        (("#!/bin/sh\n", "other"), "cannot start: "),
    ],
)
def test_release_that_cannot_start_does_not_become_the_current_one(
    agent: Account, make: Make, store: Store, program: tuple[str, ...], why: str
) -> None:
    good = make("1")
    store.update(REGION, put(good))
    with pytest.raises(PortwayError, match=why):
        store.update(REGION, put(make("2", *program)))
    assert store.current == given(good)
    assert [f.name for f in (store.root / "releases").iterdir()] == [given(good)]


def test_archive_that_leads_out_of_its_folder_is_refused(
    agent: Account, tmp_path: Path, store: Store
) -> None:
    part = tmp_path / "portway-1-0.tar"
    with tarfile.open(part, "w") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(PortwayError, match="cannot be unpacked"):
        store.update(REGION, put(part))
    assert not store.current
    assert list((store.root / "releases").iterdir()) == []


def test_what_an_interrupted_one_left_is_no_obstacle(
    agent: Account, make: Make, store: Store
) -> None:
    left = store.root / "releases" / ".part"
    left.mkdir(parents=True)
    (left / "half").touch()
    (store.root / ".current").symlink_to("nowhere")
    assert store.update(REGION, put(make("1")))
    assert not left.exists()


def test_debian_12_takes_a_release(agent: Account, make: Make, store: Store) -> None:
    """Its Python has no filters for archives."""
    archive = make("1")
    with tarfile.open(archive) as packed:
        assert [m.mode for m in _members(packed) if m.isreg()] == [0o755] * 4
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(tarfile, "data_filter", raising=False)
        patch.setattr(tarfile.TarFile, "extraction_filter", None, raising=False)
        assert store.update(REGION, put(archive))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        '{"bucket": "b"}',
        '{"bucket": "bucket", "name": "../x.tar", "sha256": "0"}',
        '{"bucket": "bucket", "name": "portway-1.tar", "sha256": "0"}',
    ],
)
def test_parameter_that_says_no_release_is_refused(agent: Account, value: str) -> None:
    agent.client("ssm").put_parameter(
        Name=f"/portway/{STACK}/release", Value=value or " ", Overwrite=True
    )
    with pytest.raises(PortwayError, match=r"release says no release"):
        published_release(REGION, STACK)


def test_without_the_agents_stack_it_says_what_to_create(account: Account) -> None:
    account.create()
    with pytest.raises(
        PortwayError, match=r"create it from cloudformation/agent\.yaml"
    ):
        release_bucket(REGION, STACK)
    with pytest.raises(PortwayError, match=r"create the stack of cloudformation/agent"):
        published_release(REGION, STACK)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other.tar", "other.tar cannot be published: its name is none"),
        ("portway-nowhere.tar", "cannot be read"),
    ],
)
def test_what_nodes_would_refuse_is_not_published(
    agent: Account, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "other.tar").touch()
    with pytest.raises(PortwayError, match=why):
        put(tmp_path / name)
    assert published_release(REGION, STACK) is None


def test_release_that_is_gone_is_named(
    agent: Account, make: Make, tmp_path: Path
) -> None:
    published = put(make("1"))
    agent.client("s3").delete_object(Bucket=published.bucket, Key=published.name)
    with pytest.raises(PortwayError, match=f"{published.name} is not in bucket"):
        fetch(REGION, published, tmp_path / "file")


def test_signed_release_is_taken(
    agent: Account, make: Make, asking: Store, key: Path
) -> None:
    archive = make("1")
    sign(archive, key)
    assert asking.update(REGION, put(archive))
    assert asking.current == given(archive)


@pytest.mark.parametrize("how", ["not", "by somebody else", "another", "for mail"])
def test_release_that_is_not_signed_changes_nothing(  # noqa: PLR0917 - fixtures
    agent: Account, make: Make, asking: Store, key: Path, tmp_path: Path, how: str
) -> None:
    old, new = make("1"), make("2")
    sign(old, key)
    asking.update(REGION, put(old))
    told = "is not signed by anybody"
    if how == "not":
        told = "is not signed, and this node asks for a signature"
    elif how == "by somebody else":
        sign(new, new_key(tmp_path / "mallory"))
    elif how == "another":
        signature = old.with_name(f"{old.name}.sig").read_bytes()
        new.with_name(f"{new.name}.sig").write_bytes(signature)
    else:
        sign(new, key, "email")
    with pytest.raises(PortwayError, match=told):
        asking.update(REGION, put(new))
    assert asking.current == given(old)
    assert not asking.has(given(new))
    assert not list((asking.root / "releases").glob(".*"))


def test_release_that_would_check_no_signature_is_not_taken(
    agent: Account, make: Make, asking: Store, store: Store, key: Path
) -> None:
    """Where signatures are asked for: it is from before there were any."""
    old = make("1", checks=False)
    sign(old, key)
    with pytest.raises(PortwayError, match="from before signatures were checked"):
        asking.update(REGION, put(old))
    assert store.update(REGION, put(old))


def test_release_under_the_name_of_another_is_not_taken(
    agent: Account, make: Make, store: Store
) -> None:
    """The other one would never be taken then."""
    old, new = make("1"), make("2")
    named = new.with_name(f"portway-3-{old.name.rpartition('-')[2]}")
    named.write_bytes(old.read_bytes())
    with pytest.raises(PortwayError, match="has portway-1, which is another one"):
        store.update(REGION, put(named))
    assert store.current == ""


def test_signers_that_cannot_be_read_are_not_nobody(
    agent: Account, make: Make, tmp_path: Path
) -> None:
    store = Store(tmp_path / "portway", signers=tmp_path)
    with pytest.raises(PortwayError, match="cannot be read"):
        store.update(REGION, put(make("1")))


ONE, OTHER = "i-0123456789abcdef0", "i-0123456789abcdef1"


def test_one_node_has_another_release_on_trial(
    agent: Account, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(instance: str) -> Published | None:
        monkeypatch.setattr(releases, "own_instance_id", lambda: instance)
        return published_release(REGION, STACK)

    bucket = release_bucket(REGION, STACK)
    with pytest.raises(PortwayError, match="no release is published"):
        put_on_trial(REGION, STACK, make("2"), bucket, ONE)
    everywhere = put(make("1"))
    tried = put_on_trial(REGION, STACK, make("2"), bucket, ONE)
    assert (here(ONE), here(OTHER)) == (tried, everywhere)
    fetch(REGION, tried, make("3"))

    again = put_on_trial(REGION, STACK, make("4"), bucket, OTHER)
    assert (here(ONE), here(OTHER)) == (everywhere, again), "one at a time"
    ended = end_trial(REGION, STACK)
    assert ended is not None
    assert (ended.instance, ended.release) == (OTHER, again)
    assert here(ONE) == here(OTHER) == everywhere
    assert end_trial(REGION, STACK) is None

    put_on_trial(REGION, STACK, make("2"), bucket, ONE)
    newest = put(make("5"))
    assert here(ONE) == here(OTHER) == newest
