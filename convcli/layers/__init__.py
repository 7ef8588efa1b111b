"""The layers of a network, one module for each kind.

`conv`, `dense`, `flatten`, `pool` and `activation` hold the text form of a layer, the tensors that
a model file has for it, the operation that runs, and the gradients that train it. `layer` has what
they share, and their registry.

A model that runs : `modelfile` reads it from a file (`weights` : the safetensors format), `model`
    checks it against a signal, `network` binds its layers from left to right (`changes` : a network
    that sees changes of columns).

A network that learns : `nets` reads it and knows its sizes, `gradients` runs it on mini-batches;
    `trained` says what both need of a layer, and `bands` computes convolutions as products.
"""
