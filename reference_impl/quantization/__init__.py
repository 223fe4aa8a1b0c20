"""Quantization: numbers in few bits."""
