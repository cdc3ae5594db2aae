"""Nodes that deploy to themselves: releases with everything that takes, and their runs.

It makes files here, or starts a run for the machine that it is on. What starts a
release where it is unpacked is in ``portway/node/agent``.
"""
