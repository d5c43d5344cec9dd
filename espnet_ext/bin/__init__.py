"""Command-line programs in ESPnet's style (``python -m espnet_ext.bin.NAME``)."""
