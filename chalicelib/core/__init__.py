"""Pure rules of the domain: standard library only; no clock, randomness or I/O. now is an argument."""
