"""Programs that run on nodes: standard library only, for Python 3.11 and later."""
