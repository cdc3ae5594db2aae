"""AWS: moto in a process of its own, made to behave as AWS does, and the stack in it.

It must not make hosts. ``server`` and what it imports run in that process, and nothing
else imports moto; ``stack``, ``address`` and ``process`` ask it from outside.
"""
