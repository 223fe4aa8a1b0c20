"""Model compression, formula by formula: one readable implementation of each formula.

The package has layers, and a module imports only from layers below its own::

    notebook
    exercises | plots
    training | measuring
    models
    data | checkpoints | quantization
    checks

The maths (``quantization``) sees tensors, never ``torch.nn.Module``.
"""
