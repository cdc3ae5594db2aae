"""Everything that can go wrong in a lab, set, listed and healed.

It must not remember: what is wrong is read from the kernel, the hosts and AWS. Nothing
here waits for Portway to notice.
"""
