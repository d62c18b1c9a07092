"""What only the book's pages show."""
