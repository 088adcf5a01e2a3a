"""The live dashboard: a page that follows studies while they run.

source.py is all it knows of a study's folder, filters.py what is left of one, drawn.py its figures; layout.py and the
tables and the panel beside it are HTML, callbacks.py joins them, assets/ is what the browser runs.
"""
