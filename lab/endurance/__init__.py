"""A long life of the pair: a hundred node changes and many of clients, under streams.

It changes what AWS has and deploys as an operator does, watches from outside, and
judges what it saw: it must not import Portway, nor start or stop anything by itself.
"""
