"""Sweep, deliver, reconcile and feed: bounded batches, one a module."""
