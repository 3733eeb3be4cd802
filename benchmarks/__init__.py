"""What asyncbatch costs beside other ways to process a batch; see README.md in this folder."""
