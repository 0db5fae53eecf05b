"""Training samples of people: pictures, crops, pairs and their ground truth."""
