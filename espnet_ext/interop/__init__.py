"""Exchange with other toolkits: RETURNN parameters in, packed models out."""
