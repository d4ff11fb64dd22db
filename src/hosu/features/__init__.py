"""Features: one kernel for stream and batch, the labels of history, and the rows a model learns from."""
