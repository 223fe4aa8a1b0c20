"""Which units of a layer are alike, and what the next layer must do when one stands for two."""
