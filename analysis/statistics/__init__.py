"""Statistics of fronts and populations; they return data and draw nothing."""
