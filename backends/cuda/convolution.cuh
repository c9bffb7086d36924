// What the kernels of convolutions share.

struct Convolution {
    int channels, rows, n;     // of one group: channels of what is gathered, rows of the result; the batch
    int source[3], target[3];  // spatial sizes of what is gathered, and of what is computed (or, for `weigh`, given)
    int size[3], stride[3], padding[3], dilation[3];
    int back;  // whether it is the adjoint: then the source is what the convolution gave
};

__device__ inline int volume(const int* sizes) { return sizes[0] * sizes[1] * sizes[2]; }
