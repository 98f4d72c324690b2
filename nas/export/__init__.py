"""Writers of networks for other tools, each with a check that nothing was lost."""
