"""The demo: the whole loop on real work, driven from outside as its users would."""
