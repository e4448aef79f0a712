"""Market data: bars, histories, universes, labels and chronological splits."""
