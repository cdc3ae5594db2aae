"""One whole run of Portway in a real AWS account, and what AWS answered in it.

``python -m acceptance --stack NAME`` makes a stack, deploys to it, breaks it, and
deletes everything that it made. It may import Portway, and nothing imports it. Its
modules have floors, and an import may only go down, to a module on a lower line:

    command
    whole
    report, parts
    observing, replacements
    moves, updates
    view
    sender, cleaning
    making, checks
    patience
    deploys, calls, prices, interrupts
    options, waiting, masking
    client, guarded, items, journal
"""
