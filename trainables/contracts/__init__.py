"""What the loop relies on, as lists of claims: `losses.CLAIMS`, `models.CLAIMS`, `datasets.CLAIMS`.

Our tests hold every loss, network and data set of our tables to them, and `heteroakd check package.module:name` yours.
"""
