"""From the bytes of image files to pixels of one size."""
