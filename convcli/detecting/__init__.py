"""Search for templates by normalised cross-correlation.

`templates` prepares a template for a signal, `search` scores every position of a stream, `peaks`
picks local maxima and suppresses those that overlap, `detect` does so for several inputs.
"""
