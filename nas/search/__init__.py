"""The search, from its configuration to its report."""
