"""What watches: destinations that differ from their source, and how far a machine may mend them."""
