"""Commands for people, one file a verb. They touch neither nodes nor AWS."""
