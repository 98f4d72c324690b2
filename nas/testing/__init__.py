"""Stand-ins and contract suites, for our tests and for those of parts of a user's own."""
