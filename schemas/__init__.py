"""The shapes of everything that crosses a boundary: JSON Schema 2020-12, and the HTTP description beside them."""
