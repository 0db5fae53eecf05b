"""Motion over time: what it is (`motion`), and networks that continue and generate it (`posegpt`)."""
