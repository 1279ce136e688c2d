"""A source's records into dossier fragments: ``mapping.toml`` compiled, applied by record or by column."""
