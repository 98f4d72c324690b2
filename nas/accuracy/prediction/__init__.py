"""Models of accuracy: what networks that were judged say of others with similar choices."""
