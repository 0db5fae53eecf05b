"""From two poses to words: what a person should change, measured, ranked and said by a small grammar of our own."""
