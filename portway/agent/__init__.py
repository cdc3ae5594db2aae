"""Releases of a checkout, with everything that it needs to run on a machine by itself.

It makes files here and changes no node. What starts a release where it is unpacked is
in ``portway/node/agent``.
"""
