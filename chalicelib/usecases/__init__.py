"""What a caller can ask for, one verb a function: load, decide (core), write (port)."""
