"""The control plane: serves, schedules, reviews, and joins the parts."""
