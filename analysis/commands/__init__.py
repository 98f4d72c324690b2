"""What the subcommands of ``python -m analysis`` do."""
