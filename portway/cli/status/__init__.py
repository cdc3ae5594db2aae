"""``portway status``: the verb, and its screens and its page, which ask nobody."""
