"""Export of networks to the file formats of other tools, each checked against torch."""
