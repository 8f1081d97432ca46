"""What a finished run leaves for people and programs. matplotlib is drawn with here; it imports ``common`` and run."""
