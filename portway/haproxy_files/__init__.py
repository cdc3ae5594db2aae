"""HAProxy files of anybody's, read and compared by what connections would see.

Pure, and nothing of it decides what Portway deploys. What it does not understand it
says; it never takes that for the same.
"""
