"""What every edge needs: reading, mapping, tokens, sealing, trust, and the edge process itself."""
