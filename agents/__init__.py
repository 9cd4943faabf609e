"""Agents: observe, argue and propose. They return values and hold nothing that writes."""
