"""Colours of classes and sheets of pictures."""
