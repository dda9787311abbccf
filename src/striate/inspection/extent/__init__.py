"""Which pixels of the image every unit sees: interval arithmetic through any network."""
