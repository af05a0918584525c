"""kundig."""
