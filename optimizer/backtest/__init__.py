"""Backtest: the shipped optimizer on measured tables, beside what everybody could use instead."""
