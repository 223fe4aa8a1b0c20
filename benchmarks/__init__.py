"""Timings against named peers, as ratios measured in one run: ``make bench``."""
