"""One whole run of Portway in a real AWS account, and what AWS answered in it.

``python -m acceptance --stack NAME`` makes a stack, deploys to it, breaks it, and
deletes everything that it made. It may import Portway, and nothing imports it. Its
packages have floors, and an import may only go down, to a package on a lower line:

    run
    findings
    parts
    account
    programs
    plan, terminal
"""
