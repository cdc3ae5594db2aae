"""Portway: load balancers for a TCP message application on AWS.

Its packages have floors, and an import may only go down, to a package on a lower line:

    cli
    agent
    run
    application
    load_balancers, database
    ops
    aws, chef, haproxy_files, render
    model
    node
    contract, errors

``node`` is copied to nodes and imports ``contract`` alone; nothing imports ``node``.
``ops`` imports nothing of ``aws``. ``tests/unit/test_layers.py`` holds every import to
this.
"""
