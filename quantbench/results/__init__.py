"""Tables of results: their schema, reading and writing, summary and comparison. Needs no torch."""
