"""Measuring ChronoWatch beside a peer, in the same run, on the machine at hand: docs/performance.md.

None of this is in the Lambda zip.
"""
