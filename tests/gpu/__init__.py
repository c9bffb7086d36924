"""The proof on a GPU: ``python -m pytest tests/gpu``, or ``python -m tests.gpu``, which ends in time whatever happens.

Every test here runs on the stand-in device as well, where it proves only that the test itself works; what is marked
"gpu" needs CuPy and an NVIDIA GPU, and is skipped without. The kernels under the tools of the CUDA toolkit::

    CADENA_WITHOUT_POOL=1 compute-sanitizer --tool memcheck python -m pytest tests/gpu/test_kernels.py -k cuda
    compute-sanitizer --tool racecheck python -m pytest tests/gpu/test_kernels.py -k cuda

The part that needs a GPU has not been run on one yet.
"""
