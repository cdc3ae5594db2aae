"""The lab's Artifactory, and the vendor's releases in it.

It serves what the vendor ships as it is, and must not know who installs it.
"""
