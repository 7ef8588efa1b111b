"""What reports and plots show of the signals of a run, collected while the run goes.

Everything has a bounded size, however long the signal: outlines of minima and maxima, some frames
of a spectrogram, an excerpt, a reduced picture. An observer sees the blocks of the input as they
are decoded and the blocks of the result as they are written; the engine knows nothing of it.
"""
