"""The encoder as a collective variable elsewhere."""
