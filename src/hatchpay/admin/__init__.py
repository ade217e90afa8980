"""Use cases that API, command line and console share: each a change and its audit event, or neither."""
