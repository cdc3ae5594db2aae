"""Commands for people, a file or a folder for each verb; ``main`` lists them.

They change neither nodes nor AWS, except that ``agent`` deploys to the machine that it
is on. No verbs are ``options``, which several have,
``completion`` of names for shells, ``output``, and ``inventory`` and ``nodes``, which
open what a verb looks at. ``monitoring`` is no verb either: it makes files.
"""
