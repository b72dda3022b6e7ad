"""What the service stands on, as data: tables, queues, bus and rules, and the code that makes them."""
