"""The one place that speaks PyAV.

probe (facts and the packet index) -> segments (spans) -> decode (pictures) -> encode (a segment aside) -> stitch (the output) ->
describe (what the output is). `mixing` says which segments may be copied, `clips` makes small videos, `faults` turns FFmpeg's
errors into ours. Paths go in, records and pictures come out; no FFmpeg object leaves this package.
"""
