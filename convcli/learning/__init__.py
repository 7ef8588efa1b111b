"""Learning filters and networks from examples.

`learn.learn` takes a task (task.py) and pairs of signals (pairs.py), which become a dataset with
its delays (dataset.py). From there, three ways lead to a model file (learned_model.py):

* one linear layer, solved from windows of the signals (windows.py, least_squares.py, noise.py);
* a network (trainable_network.py), trained on mini-batches (train_network.py,
  sampler.py, trainer.py);
* a dense layer for comparison (dense_layer.py).

The errors are compared with those of naive answers (baselines.py).
"""
