"""The command line and a whole run: makes, breaks, observes, deletes, reports."""
