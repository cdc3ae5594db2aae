"""The only package that calls AWS; every failure leaves it as a PortwayError.

Secret values leave it only as what ``secrets`` and ``logins`` return, and in no error
or log, at any level. It imports nothing of pyinfra.
"""
