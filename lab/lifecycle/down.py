"""Taking all of a lab down, whatever state it was left in."""

from lab.ground import mounts, namespaces, processes
from lab.ground.progress import say
from lab.lifecycle.lock import alone
from lab.machines import hosts
from lab.plan.names import Lab


def down(lab: Lab) -> None:
    """Remove everything of a lab, whatever state it is in."""
    with alone(lab):
        for path in sorted(lab.hosts.glob("*")):
            hosts.remove(lab, path.name)
        processes.kill(processes.cgroup(lab))
        for thing in namespaces.listed(lab):
            namespaces.remove(lab, thing)
        mounts.remove_tree(lab.directory)
        say(f"lab {lab.name} is down")
