"""Folders that people pass to one another, sealed: a manifest names every byte in them, a signature says whose word that is."""

from superalign.sealed_folder.contents import MANIFEST, SIGNATURE, SUFFIXES
from superalign.sealed_folder.sealing import seal, verify

__all__ = ["MANIFEST", "SIGNATURE", "SUFFIXES", "seal", "verify"]
