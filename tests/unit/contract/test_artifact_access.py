"""Who may see what opens Artifactory, and which redirects are followed."""

import pytest

from portway.contract.artifact_access import is_same_server, shown, why_not_followed

OURS = "https://artifacts.example.com/artifactory"


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        (OURS, "https://artifacts.example.com/other", True),
        (OURS, "https://ARTIFACTS.example.com:443/", True),
        (OURS, "https://artifacts.example.com:8443/", False),
        (OURS, "http://artifacts.example.com/", False),
        (OURS, "http://artifacts.example.com:443/", False),
        (OURS, "https://example.com/", False),
        (OURS, "https://artifacts.example.com.evil.test/", False),
        (OURS, "https://artifacts.example.com@evil.test/", False),
        (OURS, "https://evil.test/artifacts.example.com", False),
        ("http://a.test/x", "https://a.test/x", True),
        ("http://a.test:8081/x", "https://a.test/x", False),
        ("http://a.test/x", "https://a.test:8443/x", False),
        ("http://a.test/x", "http://a.test:80/", True),
    ],
)
def test_only_the_same_server_may_see_it(first: str, other: str, same: bool) -> None:
    assert is_same_server(first, other) is same


@pytest.mark.parametrize(
    "target",
    [
        "ftp://a.test/x",
        "file:///etc/passwd",
        "https:///x",
        "https://a.test:99999/",
        "https://[::1/",
        "",
    ],
)
def test_redirect_to_what_is_no_address_is_not_followed(target: str) -> None:
    reason = why_not_followed(OURS, target)
    assert reason.startswith("https://artifacts.example.com redirects to ")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OURS, "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=1"),
        (OURS, "http://a.test/x?X-Amz-Signature=1"),
        ("http://a.test/", "http://b.test/"),
        ("http://a.test/", "https://b.test/"),
    ],
)
def test_other_redirects_are_followed(before: str, after: str) -> None:
    assert why_not_followed(before, after) == ""


def test_neither_signature_nor_password_of_a_url_is_shown() -> None:
    url = "https://me:secret@bucket.test:8443/path?X-Amz-Signature=secret"
    assert shown(url) == "https://bucket.test:8443"
