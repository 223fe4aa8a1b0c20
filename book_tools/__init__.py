"""What builds and tests the book."""
