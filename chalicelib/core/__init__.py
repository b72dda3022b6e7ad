"""Pure rules of the domain: no I/O, clock or randomness; standard library and msgspec only. now is an argument."""
