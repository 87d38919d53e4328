"""Folders that people pass to one another, sealed: a manifest names every byte in them, a signature says whose word that is."""

from superalign.sealed_folder.contents import MANIFEST as MANIFEST
from superalign.sealed_folder.contents import SIGNATURE as SIGNATURE
from superalign.sealed_folder.contents import SUFFIXES as SUFFIXES
from superalign.sealed_folder.sealing import seal as seal
from superalign.sealed_folder.sealing import verify as verify
