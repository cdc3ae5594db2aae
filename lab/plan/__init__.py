"""What is written down about a lab: its names, its addresses, its hosts, this checkout.

It reads and writes small files; it must not start a program, ask AWS or look at what
is running.
"""
