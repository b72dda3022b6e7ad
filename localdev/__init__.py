"""Running ChronoWatch on one machine: the emulator, the REST server and the worker, and the environments they need.

None of this is in the Lambda zip. ``python -m localdev`` needs nothing but Python 3.11: it makes the environments and
goes on inside them.
"""
