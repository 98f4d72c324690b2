"""Statistics of fronts and populations: data with what it rests on. Nothing is drawn here."""
