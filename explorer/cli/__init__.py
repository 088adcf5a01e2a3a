"""The command `heteroakd`: it parses and delegates."""
