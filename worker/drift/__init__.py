"""How what a deployment is asked and answers changes over time."""
