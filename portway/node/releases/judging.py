"""Whether an archive is harmless: nothing in it reaches outside of its folder.

The only way out are links to absolute paths that the request allows.
"""

from collections.abc import Sequence

from portway.node.releases.members import Kind, Member
from portway.node.releases.refused import RefusedError

MOST_LINKS = 40
"""As many as the kernel follows."""


def judge(members: list[Member], allowed: Sequence[str] = ()) -> None:
    """Refuse an archive with any member that is not a file, folder or link inside it.

    ``allowed`` are absolute paths that links may lead to, or below. Links are followed
    as the kernel would, through each other, so that no chain of harmless ones leads
    outside.
    """
    links: dict[str, str] = {}
    seen: dict[str, bool] = {}
    for member in members:
        if member.name.startswith("/") or ".." in member.name.split("/"):
            raise RefusedError(f"the archive has a path outside of it: {member.name!r}")
        if member.kind is Kind.OTHER:
            raise RefusedError(f"the archive has a device or pipe: {member.name!r}")
        is_folder = member.kind is Kind.FOLDER
        if member.path in seen and not (seen[member.path] and is_folder):
            raise RefusedError(f"the archive has a path twice: {member.name!r}")
        seen[member.path] = is_folder
        if member.kind is Kind.LINK:
            links[member.path] = member.target
    for member in members:
        parts = member.parts
        if any(not seen.get("/".join(parts[:n]), True) for n in range(1, len(parts))):
            raise RefusedError(
                f"the archive has a path through a link or file: {member.name!r}"
            )
        if member.kind is Kind.LINK:
            _follow([*parts[:-1], *member.target.split("/")], member, links, allowed)
        if member.kind is Kind.HARD_LINK:
            _follow(member.target.split("/"), member, links, ())


def _follow(
    path: list[str], member: Member, links: dict[str, str], allowed: Sequence[str]
) -> None:
    """Follow a link's path within the archive; refused where it leaves it."""
    if member.target.startswith("/"):
        _refuse_outside(member, member.target, [], allowed)
        return
    left, here = list(reversed(path)), list[str]()
    followed = 0
    while left:
        part = left.pop()
        if part == "..":
            if not here:
                raise _outside(member)
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            target = links.get("/".join(here))
            if target is not None:
                followed += 1
                if followed > MOST_LINKS:
                    raise _outside(member)
                if target.startswith("/"):
                    _refuse_outside(member, target, left[::-1], allowed)
                    return
                here.pop()
                left.extend(reversed(target.split("/")))


def _refuse_outside(
    member: Member, target: str, rest: list[str], allowed: Sequence[str]
) -> None:
    """Refuse a link that leads to an absolute path, unless that is allowed."""
    path = "/".join([target, *rest])
    parts = [part for part in path.split("/") if part not in ("", ".")]
    steps = [[part for part in place.split("/") if part] for place in allowed]
    if ".." in parts or member.kind is Kind.HARD_LINK:
        raise _outside(member)
    if not any(parts[: len(step)] == step for step in steps):
        raise _outside(member, "/" + "/".join(parts))


def _outside(member: Member, allow: str = "") -> RefusedError:
    """The refusal of a link; ``allow`` is what would let it through."""
    return RefusedError(
        f"the archive has a link outside of it: {member.name!r} -> {member.target!r}",
        f"if nodes have that file for it to use, set artifact_links = [{allow!r}]"
        if allow
        else "",
    )
