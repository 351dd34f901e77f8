"""Extract the text of untrusted files, with headings and pages."""
