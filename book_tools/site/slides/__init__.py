"""Slides of a chapter, made from its page."""
