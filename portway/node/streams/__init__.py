"""The stream keeper: what HAProxy itself does not do for streams that live for days.

A program of the load balancers. It keeps ``ordered`` clients to one application node,
and closes streams that older HAProxy processes have and nobody needs. It runs on Python
3.11 or later and imports nothing but ``portway.contract`` and its own modules.
"""
