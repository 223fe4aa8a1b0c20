"""Networks taken apart and put together again: layers quantized, folded, equalized."""
