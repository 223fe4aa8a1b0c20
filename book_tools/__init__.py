"""Tools that build and test the book; no chapter imports them."""
