"""What AWS was seen to do, line by line of docs/aws.md, and the report of it.

It changes nothing in the account.
"""
