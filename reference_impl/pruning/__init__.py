"""What to remove from a network: scores of weights and of units, and masks that keep the best."""
