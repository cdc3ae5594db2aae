"""What a run makes in the account, and deletes: nothing else may be touched."""
