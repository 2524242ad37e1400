"""The site of the book: what tools/website.py makes it of."""
