"""Folder that goes to the end of the import path when a stand-in is asked for."""
