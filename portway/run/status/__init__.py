"""How the running system is: asked of every node at once, judged, as values.

``asking`` looks, ``values`` is what was seen, ``report`` what it means. It changes
nothing and prints nothing.
"""
