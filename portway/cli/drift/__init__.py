"""``portway drift``: the verb, and the forms in which it prints what a look found."""
