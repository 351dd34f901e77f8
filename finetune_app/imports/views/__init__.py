"""The pages of an import: upload, progress and outcome, the columns, chunks of a large file."""
