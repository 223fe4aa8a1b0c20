"""Model compression, formula by formula: one readable implementation of each formula.

The package has layers, and a module imports only from layers below its own::

    notebook
    exercises | plots
    fitting | quantized_training
    recipes | training | measuring
    checkpoints
    models
    network
    data | quantization
    idx
    files
    checks

The maths (``quantization``) sees tensors, never ``torch.nn.Module``.
"""
