"""Telemetry: counts and spans made of committed events, and how they leave the process."""
