"""A repository on the loopback that speaks Artifactory's paths, for tests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.artifactory.server import Repositories, serving
from lab.vendor.build import archive_path, build, sha256
from portway.model.releases import Release
from portway.model.settings import Settings

TOKEN = "the-token-of-the-repository"
REPOSITORY = "vendor-releases"


@dataclass(frozen=True)
class Artifacts:
    """A running server and what it serves."""

    url: str
    served: Repositories

    @property
    def folder(self) -> Path:
        return self.served.folder / REPOSITORY

    def go_wrong(self, **faults: Any) -> None:
        assert self.served.faults_file
        self.served.faults_file.write_text(json.dumps(faults))

    def build(self, version: str) -> Release:
        return self.release(version, build(version, self.folder))

    def release(self, version: str, archive: Path) -> Release:
        url = f"{self.url}/{REPOSITORY}/{archive_path(version)}"
        return Release(version, url, sha256(archive))

    def settings(self, **changes: Any) -> Settings:
        given = {
            "clients_file": "clients.json",
            "app_version": "1.0.0",
            "artifactory_url": self.url,
            "artifactory_plain_http": True,
            "artifactory_repository": REPOSITORY,
            "artifactory_token_secret": "portway/artifactory",
            **changes,
        }
        return Settings.model_validate(given)


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Artifacts]:
    repositories = Repositories(
        tmp_path / "repositories", TOKEN, tmp_path / "faults.json"
    )
    with serving(repositories) as url:
        yield Artifacts(url, repositories)
