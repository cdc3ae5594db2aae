"""What a run does to its stack, part by part, and what the parts share."""
