"""Frames of trials in, frames of answers out: nothing of Ray, of storage or of folders."""
