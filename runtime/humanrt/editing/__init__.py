"""A pose changed by words: words as numbers (`words`), what they ask for (`changes`), what that does to a body."""
