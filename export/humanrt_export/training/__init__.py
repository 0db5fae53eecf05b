"""The training loop, the tasks it trains and the methods around them."""
