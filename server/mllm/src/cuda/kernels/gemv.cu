// Products of a weight matrix with few rows of x: as fast as the weights are read. A block takes two rows of weights,
// its threads eight columns at a time, and every weight is used for all N rows of x.

enum Into { SET, ADD, SWIGLU };

template <int N, Into INTO>
__device__ inline void gemv(const bf16* weights, const bf16* x, void* out, int rows, int columns) {
    __shared__ float parts[32][2 * N];
    const int half = rows / 2;
    int first = INTO == SWIGLU ? blockIdx.x : 2 * blockIdx.x;
    int second = INTO == SWIGLU ? first + half : min(first + 1, rows - 1);
    const uint4* upper = (const uint4*)(weights + (size_t)first * columns);
    const uint4* lower = (const uint4*)(weights + (size_t)second * columns);
    const uint4* inputs = (const uint4*)x;
    float sums[2 * N];
#pragma unroll
    for (int i = 0; i < 2 * N; i++) sums[i] = 0.0f;
    const int eighths = columns / 8;
    // Asked for together, so that memory is never waited for once each.
    const int AHEAD = N > 2 ? 2 : 4;
    for (int start = threadIdx.x; start < eighths; start += AHEAD * blockDim.x) {
        uint4 a[AHEAD], b[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = start + i * blockDim.x;
            uint4 none = {0, 0, 0, 0};
            a[i] = at < eighths ? __ldcs(upper + at) : none;
            b[i] = at < eighths ? __ldcs(lower + at) : none;
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = min(start + i * (int)blockDim.x, eighths - 1);
#pragma unroll
            for (int n = 0; n < N; n++) {
                uint4 input = inputs[(size_t)n * eighths + at];
                sums[2 * n] += dot8(a[i], input);
                sums[2 * n + 1] += dot8(b[i], input);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 2 * N; i++) {
        float sum = warp_sum(sums[i]);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32][i] = sum;
    }
    __syncthreads();
    int n = threadIdx.x;
    if (n >= N) return;
    float a = 0.0f, b = 0.0f;
    for (int warp = 0; warp < (int)blockDim.x / 32; warp++) a += parts[warp][2 * n], b += parts[warp][2 * n + 1];
    if (INTO == SWIGLU) {
        ((bf16*)out)[(size_t)n * half + first] = narrow(silu(a) * b);
        return;
    }
    float* row = (float*)out + (size_t)n * rows;
    row[first] = INTO == ADD ? row[first] + a : a;
    if (second > first) row[second] = INTO == ADD ? row[second] + b : b;
}

// Weights [rows, columns], columns a multiple of 8, x [N, columns].
// gemv_set: out [N, rows] becomes the product; grid: ceil(rows / 2).
// gemv_add: it is added to out.
// gemv_swiglu: out [N, rows / 2] in bf16 becomes silu(upper half) * lower half; grid: rows / 2.
#define GEMV(N)                                                                                                  \
    extern "C" __global__ void gemv_set_##N(const bf16* w, const bf16* x, float* out, int rows, int columns) {   \
        gemv<N, SET>(w, x, out, rows, columns);                                                                  \
    }                                                                                                            \
    extern "C" __global__ void gemv_add_##N(const bf16* w, const bf16* x, float* out, int rows, int columns) {   \
        gemv<N, ADD>(w, x, out, rows, columns);                                                                  \
    }                                                                                                            \
    extern "C" __global__ void gemv_swiglu_##N(const bf16* w, const bf16* x, bf16* out, int rows, int columns) { \
        gemv<N, SWIGLU>(w, x, out, rows, columns);                                                               \
    }

GEMV(1)
GEMV(2)
GEMV(3)
GEMV(4)
GEMV(5)
GEMV(6)
GEMV(7)
GEMV(8)
