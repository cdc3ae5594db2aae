"""Commands for people, one file a verb. They change neither nodes nor AWS."""
