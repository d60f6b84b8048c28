"""One test run: what its tests record, whether that still fits, and who writes it down.

Nothing is imported here: a run that records nothing needs the ``settings`` alone.
"""
