"""Learning-rate schedules: pure functions, and ESPnet schedulers made of them."""
