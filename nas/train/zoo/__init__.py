"""Training several networks in the same way, one after another, to compare them in one table."""
