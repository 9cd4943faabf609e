"""The net: how tokens move through a playbook."""
