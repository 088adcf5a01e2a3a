"""The door: what `import explorer` gives, and all that the command line calls. No wing below knows of it."""

from explorer.api.kernel import quiet

quiet()
