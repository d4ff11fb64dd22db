"""A server that speaks the broker's protocol: REST, WebSocket, limits, error codes and layout versions by date."""
