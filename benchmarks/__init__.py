"""The kernels beside every sensible torch.fft composition, in turns in one process: ``python -m benchmarks``.

A room an op (:mod:`benchmarks.mixing`, :mod:`benchmarks.filter`, ...) describes what is computed, how torch.fft can
compute it, and what is aimed at; :mod:`benchmarks.measure` says what is measured, and how; :mod:`benchmarks.sweep` goes
over random shapes, :mod:`benchmarks.lengths` over n. The kernels without Python are in ``benchmarks/cpp``.
"""
