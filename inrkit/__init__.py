"""A thin library of implicit neural representations and the companion to five papers on them.

A signal is sampled, a field is fitted to it through a loss, what comes out is measured, recorded
beside what the paper claims, and read in the book. The folders follow that sentence:
``calculus``, ``fields``, ``signals``, ``training``, ``measure``, ``render``, ``companion``.
"""

__version__ = "0.1.0"
