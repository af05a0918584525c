"""Channels: how a message becomes what a destination takes, and how it is handed over."""
