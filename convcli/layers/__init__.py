"""The layers of a network, one module for each kind.

`dense`, `flatten`, `pool`, `activation` and others hold the text form of a layer, the tensors that
a model file has for it, the operation that runs, and the gradients that train it. `layer` has what
they share, and their registry. The operation of `conv`, as which other layers run too, is in
`conv_op`, its algorithms are in `conv_paths` and `winograd`, and its gradients are in
`training/trained_conv`.

A model that runs : `model_reader` reads it from a file (`weights` : the safetensors format),
    `model` holds it and checks it against a signal, `network_binder` binds its layers from left to
    right.

A network that learns, in `training/` : `layer_stack` makes it from its text and knows its sizes,
    `gradients` runs it on mini-batches, `changes` is a network that sees changes of columns;
    `trained` says what these need of a layer. `bands` computes convolutions as products.
"""
