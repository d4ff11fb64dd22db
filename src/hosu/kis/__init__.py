"""All that knows the broker: layouts, codec, authentication, limits, REST and the WebSocket feed."""
