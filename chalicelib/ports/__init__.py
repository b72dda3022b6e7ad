"""What the service needs from outside, as Protocols. The contract of all stores is in ``ports.services``."""
