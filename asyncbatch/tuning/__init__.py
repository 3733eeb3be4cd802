"""Finding the limit of a handler: measure it, fit a law to it, say which limit and why."""
