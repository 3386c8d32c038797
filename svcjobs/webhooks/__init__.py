"""Signed messages to other people's servers."""
