"""Model compression, formula by formula: one readable implementation of each formula.

The package has layers, and a module imports only from layers below its own::

    notebook
    exercises | plots
    guided_training
    fitting | quantized_training | distilled_training | pruned_training
    one_cycle
    recipes | shifts | training | measuring
    checkpoints
    models | surgery
    network
    data | quantization | distillation | pruning | merging
    width_maps
    idx
    files
    checks

The maths (``quantization``, ``distillation``, ``pruning``, ``merging``, ``width_maps``) sees
tensors, never ``torch.nn.Module``.
"""
