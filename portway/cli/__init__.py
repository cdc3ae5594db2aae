"""Commands for people that change nothing, one file a verb."""
