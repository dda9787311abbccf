"""Image decoding and preprocessing: from the bytes of image files to pixels of one size."""
