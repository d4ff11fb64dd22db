"""Models: what the features say about the next return, and whether it deserves belief."""
