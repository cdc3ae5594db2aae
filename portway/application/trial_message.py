"""The test message that a node must acknowledge before it gets clients. Pure."""

from collections.abc import Collection, Iterator, Mapping

from portway.model.listeners import Listener

PORT = "{port}"


def trial_command(
    command: str | None, listeners: Collection[Listener], folder: str
) -> str | None:
    """The command line for a node with these ports; None if there is nothing to send.

    A plain message can be sent to TCP without a PROXY header only. ``folder`` is the
    application's.
    """
    if command is None:
        return None
    plain = [i.port for i in listeners if i.speech == ("tcp", False)]
    if PORT in command and not plain:
        return None
    return f"{folder}/current/" + command.replace(PORT, str(*plain[:1]))


def untried(
    command: str | None, nodes: Mapping[str, Collection[Listener]]
) -> Iterator[str]:
    """What is said of nodes that go into service without a test message."""
    names = [n for n, ports in nodes.items() if not trial_command(command, ports, "")]
    if command and names:
        yield (
            f"app_test_command is not run on {', '.join(names)}: no client there takes "
            f"a plain message ({PORT}), because each has mode http or send_proxy; they "
            "go into service when they are healthy"
        )
