"""Consoles, logins, VRRP and packets: what instances do."""

import base64
import re
from collections.abc import Mapping

from acceptance.findings.verdict import Observer, Seen, Verdict, judged, on_node
from acceptance.parts.view import View
from portway.model.host_keys import has_finished, keys_on_console

SSH_SECONDS = 300


def _console_host_keys(view: View) -> Seen:
    texts = _consoles(view)
    shown = {name: len(keys_on_console(text)) for name, text in texts.items()}
    return judged(all(shown.values()), f"host keys on the consoles: {shown}")


def _console_latest(view: View) -> Seen:
    texts = _consoles(view)
    shown = [has_finished(t) or bool(keys_on_console(t)) for t in texts.values()]
    seconds = view.launched.get("consoles")
    since = f", all known {seconds:.0f} s after the last launch" if seconds else ""
    return judged(all(shown), f"{len(texts)} consoles shown{since}")


def _consoles(view: View) -> Mapping[str, str]:
    found = {}
    for node in view.stack().nodes:
        answer = view.owner.call(
            "ec2",
            "get_console_output",
            f"the console of {node.name}",
            InstanceId=node.instance_id,
            Latest=True,
        )
        text = str(answer.get("Output") or "")
        # boto3 decodes it, as the AWS command line does.
        found[node.name] = text if "\n" in text else _decoded(text)
    return found


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return text


def _tunnel(view: View) -> Seen:
    seconds = view.launched.get("first deploy", 0)
    text = f"all nodes were reached through it; the first deploy took {seconds:.0f} s"
    return Verdict.SEEN, f"{text} (no tunnel was held for an hour)"


def _ssh_in_time(view: View) -> Seen:
    seconds = view.launched.get("ssh")
    if seconds is None:
        return Verdict.UNCLEAR, "no instance was launched in place of another"
    text = f"a login {seconds:.0f} s after its launch"
    keys = view.launched.get("ssh host keys", 0)
    if seconds >= SSH_SECONDS and keys >= SSH_SECONDS:
        return Verdict.UNCLEAR, f"{text}; its host keys were known after {keys:.0f} s"
    return judged(seconds < SSH_SECONDS, text)


def _image_login(view: View) -> Seen:
    node = view.balancers()[0]
    test = "id -un; test -S /run/haproxy-master.sock && echo has the master socket"
    output = on_node(view, node, test)
    return judged("has the master socket" in output, "login, sudo and the socket work")


def _vrrp(view: View) -> Seen:
    """A pair that does not hear each other has two masters."""
    said = {}
    for node in view.balancers():
        output = view.deploys.on_node(node.name, "portway-address status").output
        said[node.name] = "yes" if _is_master(output) else "no"
    return judged(sorted(said.values()) == ["no", "yes"], f"VRRP masters: {said}")


def _is_master(output: str) -> bool:
    return re.search("VRRP master since", output, re.IGNORECASE) is not None


def _routed_packets(view: View) -> Seen:
    traffic = view.client().measured(0.0)
    return judged(traffic.acknowledged > 0, f"{traffic.acknowledged} acknowledgements")


OBSERVERS: Mapping[str, Observer] = {
    "console-host-keys": _console_host_keys,
    "console-latest": _console_latest,
    "tunnel": _tunnel,
    "tunnel-source": _tunnel,
    "ssh-in-time": _ssh_in_time,
    "image-login": _image_login,
    "vrrp": _vrrp,
    "routed-packets": _routed_packets,
}
