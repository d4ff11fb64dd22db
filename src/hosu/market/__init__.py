"""The market's vocabulary: instruments, events, calendar and dated rules. Knows nobody, known by all."""
