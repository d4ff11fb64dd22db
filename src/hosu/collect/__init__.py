"""From frames to durable, decoded events: the write-ahead log, the decoder, the collector and its sinks."""
