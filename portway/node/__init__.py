"""Programs that run on nodes.

They import the standard library, what Debian packages, and ``portway.contract``; a node
has nothing else of Portway.
"""
