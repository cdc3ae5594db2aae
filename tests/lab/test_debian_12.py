"""The main job on Debian 12: older HAProxy, keepalived and systemd."""

from tests.lab.system import System, changes, output, stream


def test_main_job_on_debian_12(bookworm: System) -> None:
    bookworm.deploy()
    version = bookworm.node("lb-1", "haproxy -v").stdout
    assert version.startswith("HAProxy version 2.6.")
    for port in (9001, 9002, 9003):
        assert bookworm.ask(port).split(" ")[1] == str(port)
    url = f"http://{bookworm.elastic_ip}:9004/"
    assert bookworm.customer("curl", "-sS", url).stdout.endswith(" 9004\n")
    assert bookworm.masters() == [bookworm.holder]

    second = bookworm.deploy()
    assert changes(second) == 0, output(second)

    with stream(bookworm, 9001) as last:
        bookworm.deploy("-y", "--data", "threads=1")
        before = last()
        while last() < before + 20:
            pass
