"""The site: build, extension, and the check of every page."""
