"""ESPnet tasks that know our plugins and our trainer."""
