"""What the stream keeper is told."""

from portway.contract.streams import OrderedBackend, StreamsConfig
from portway.model.build import build_cluster
from portway.render.streams import streams_config
from tests.unit.samples import clients, cluster, settings, stack


def test_ordered_backends_with_their_clients_and_servers_as_preferred() -> None:
    plain = {"ordered": True, "nodes": ["app-2", "app-1"]}
    found = cluster(
        {"client_name": "a", "client_port": 9001, **plain},
        {"client_name": "b", "client_port": 9002, **plain},
        {"client_name": "c", "client_port": 9003},
    )
    (wanted,) = streams_config(found, "").ordered.values()
    assert wanted == OrderedBackend({"a": 9001, "b": 9002}, ("app-2", "app-1"))


def test_streams_retire_by_setting_and_client_and_http_ones_do_not() -> None:
    entries = (
        {"client_name": "tcp", "client_port": 9001},
        {"client_name": "never", "client_port": 9002, "retire_after": 0},
        {"client_name": "web", "client_port": 9003, "mode": "http"},
        {
            "client_name": "asked",
            "client_port": 9004,
            "mode": "http",
            "retire_after": 7,
        },
    )
    config = streams_config(cluster(*entries), "")
    names = ("tcp", "never", "web", "asked", "a client that is gone")
    assert [config.limit(name) for name in names] == [60, 0, 0, 7, 60]
    off = build_cluster(stack(), settings(retire_after=None), clients(*entries))
    assert [streams_config(off, "").limit(n) for n in names] == [0, 0, 0, 7, 0]


def test_config_is_read_as_it_was_written() -> None:
    found = streams_config(
        cluster({"client_name": "a", "client_port": 9001, "ordered": True}), "hash"
    )
    assert StreamsConfig.from_json(found.to_json()) == found
