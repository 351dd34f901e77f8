"""How a deployment does in use: figures, costs, what was asked, what people thought of it."""
