"""Scripts that start, reload and mend services on nodes."""

import shlex
from collections.abc import Iterable

from portway.contract.paths import LOADED_FOLDER
from portway.render.files import Service


def service_script(
    service: Service, steps: Iterable[str], strange: Iterable[str] = ()
) -> str:
    """A script that takes the steps that ``service_steps`` names."""
    scripts = {
        "unmask": unmask_script(service.unit),
        "own": set_aside_script(strange),
        "daemon-reload": "systemctl daemon-reload",
        "enable": f"systemctl -q enable {service.unit}",
        "start": start_script(service),
        "reload": reload_script(service),
    }
    return "\n".join(f"{{ {scripts[step]}\n}} || exit 1" for step in steps)


def unmask_script(unit: str) -> str:
    """A script that lets a unit start again, however it was masked."""
    return f"systemctl -q unmask {unit}; systemctl -q unmask --runtime {unit}"


def set_aside_script(paths: Iterable[str]) -> str:
    """A script that takes overrides of units away, and keeps them for their owner.

    systemd does not read a file of that name. What they changed in a running process
    lasts until that starts again.
    """
    moves = (shlex.join(("mv", "-fT", p, f"{p}.{SET_ASIDE}")) for p in paths)
    return " && ".join((*moves, "systemctl daemon-reload"))


SET_ASIDE = "set-aside-by-portway"


def start_script(service: Service) -> str:
    """A script that starts a unit, or fails with what it says about it."""
    unit = service.unit
    return (
        f"systemctl reset-failed {unit} 2>/dev/null\nbegan=$(date +%s)\n"
        f"systemctl start {unit} || {{ {{ {complaints(service)}; }} >&2; exit 1; }}"
    )


def complaints(service: Service) -> str:
    """Commands that print what a unit has said about a failure since ``$began``.

    A load balancer's journal has a line for each connection beside it.
    """
    own = shlex.join(service.own_words)
    since = f"journalctl -q --no-pager -o cat -n 1000 --since=@$began -u {service.unit}"
    return (
        f"said=$({since} {own})\n"
        f"grave=$(printf '%s\\n' \"$said\" | grep -F {shlex.quote(service.alert)})\n"
        "printf '%s\\n' \"${grave:-$said}\" | tail -n 10"
    )


def journal(unit: str) -> str:
    """A command that prints the end of a unit's journal."""
    return f"journalctl -q --no-pager -o cat -n 10 -u {unit}"


def reload_script(service: Service, before: str = ":") -> str:
    """A script that reloads a unit and records what it loaded once it has."""
    unit = service.unit
    done, pause = ("!=", 0.2) if service.replaced_by_reload else ("=", 1)
    return f"""{digest_script(service)}; n=0
for _ in 1 2 3 4 5; do
    before=$({service.process})
    [ -z "$before" ] || break
    sleep 1
done
if [ -z "$before" ] && systemctl -q is-active {unit}; then
    echo "{unit} does not say as which process it runs, and was not reloaded" >&2
    exit 1
fi
{service.before_reload}
{before}
began=$(date +%s)
complain() {{
{complaints(service)}
}}
systemctl {service.reload} {unit} || {{ complain >&2; exit 1; }}
while sleep {pause}; do
    after=$({service.process})
    [ -n "$after" ] && [ "$after" {done} "$before" ] && break
    n=$((n + 1))
    if [ "$n" -ge 150 ]; then
        echo "{unit} did not load its new configuration" >&2
        complain >&2
        exit 1
    fi
done
{record_script(service)}"""


def digest_script(service: Service) -> str:
    """A script that remembers the configuration that is about to be loaded."""
    return f"digest=$(sha256sum <{shlex.quote(service.config)})"


def record_script(service: Service) -> str:
    """A script that records that the unit runs what ``digest_script`` saw."""
    folder, config = LOADED_FOLDER, shlex.quote(service.config)
    copy = f"install -m 600 {config} {service.copy} && " if service.copy else ""
    return f'mkdir -p {folder} && {copy}echo "$digest" >{folder}/{service.unit}'
