"""The command `heteroakd`: it parses, calls the Python door (`import explorer`) and nothing else, and prints."""
