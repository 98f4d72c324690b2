"""The search: from its configuration over its trials to its report."""
