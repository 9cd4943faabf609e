"""The playbook: a workload written in YAML, parsed into frozen values."""
