"""The hub's faces: one Flask application per audience."""
