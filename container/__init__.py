"""The processes of the container image. They run the functions of Lambda, fed by the event sources of ``localdev``."""
