"""superalign: is this model aligned, or does it only look aligned, and how sure can we be?"""

__version__ = "0.1.0"
