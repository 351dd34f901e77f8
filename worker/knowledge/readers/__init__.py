"""From a stranger's file to plain text with headings and pages."""
