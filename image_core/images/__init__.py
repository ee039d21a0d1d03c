"""Work on raster images: their masks, shapes and pixels."""
