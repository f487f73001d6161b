"""The kernels beside every sensible torch.fft composition, in turns in one process: ``python -m benchmarks``.

A room an op (:mod:`benchmarks.mixing`, :mod:`benchmarks.filter`) describes what is computed and how torch.fft can
compute it; :mod:`benchmarks.measure` says what is measured, and how.
"""
