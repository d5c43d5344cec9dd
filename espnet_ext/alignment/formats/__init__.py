"""Files that other programs read: Kaldi archives, CTM, TextGrid, HDF5."""
