"""``install-release``: fetches, unpacks, switches and removes releases on this node.

Application nodes have only Debian's ``python3``: it imports the standard library,
``portway.contract`` and what is beside it.
"""
