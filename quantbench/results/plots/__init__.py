"""Pictures of results, ready for a paper; one kind a file."""
