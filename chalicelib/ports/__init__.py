"""What the service needs from outside, as Protocols: one store method is one atomic AWS call."""
