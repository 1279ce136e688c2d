"""One folder a partner: ``manifest.toml``, ``mapping.toml``, ``record.schema.json``, ``samples/``, at need a plugin."""
