"""The steps in order, without Ray. Read driver.py first: it is the whole pipeline; then one file per step.

probe -> analyze (per segment) -> link (per scope) -> redact (per segment) -> publish (per video)
"""
