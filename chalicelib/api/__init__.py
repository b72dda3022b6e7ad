"""HTTP blueprints: parse, call the use case, render. No rule of the domain lives here."""
