"""Pictures as files and arrays: reading and writing, regions, crop, stitch and composite."""
