"""Viewing: people, hands and robots in a web browser, live or from a recording."""
