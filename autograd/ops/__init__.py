"""The operators, by family. Each file is a derivative table to be proof-read in one sitting.

The names in scope of every rule: `xp` the array namespace, `g` the gradient of the result, then what the
rule asks for by name; `autograd.registry` explains it. Why gradients of gradients come free: take the cube,
``mul(mul(x, x), x)``. The rule of mul, ``g * other``, is two Tensors multiplied when the derivative is to be
differentiated, so it is recorded like any product, and its own derivative is the same rule again.
"""
