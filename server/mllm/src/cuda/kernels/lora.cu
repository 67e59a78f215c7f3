// What LoRA adapters add to a product, for the rows that use one: y += (x Aᵀ) Bᵀ, where B is scaled. Rows with different
// adapters, and with none, are changed together.

/// Parts of a product that have pairs of their own, as queries, keys and values have.
#define PARTS 3

/// A pair, a [rank, columns of x] and b [outputs, rank], and the first column of y that it is added to. Rank and outputs
/// are 0 where there is none.
struct Pair {
    const bf16 *a, *b;
    int rank, column, outputs, unused;
};

/// Grid: (parts of a rank, rows, PARTS), whole warps. low [rows, PARTS, most] = x Aᵀ; x [rows, columns], columns a multiple
/// of 8. adapters [rows]: a row's pairs, those of the product from `first` on; null for none.
extern "C" __global__ void lora_down(
    const Pair* const* adapters, int first, const bf16* x, float* low, int columns, int most
) {
    const Pair* pairs = adapters[blockIdx.y];
    if (!pairs) return;
    Pair pair = pairs[first + blockIdx.z];
    const uint4* row = (const uint4*)(x + (size_t)blockIdx.y * columns);
    int warps = blockDim.x / 32, lane = threadIdx.x % 32;
    for (int r = blockIdx.x * warps + threadIdx.x / 32; r < pair.rank; r += gridDim.x * warps) {
        const uint4* a = (const uint4*)(pair.a + (size_t)r * columns);
        float sum = 0.0f;
        for (int i = lane; i < columns / 8; i += 32) sum += dot8(a[i], row[i]);
        sum = warp_sum(sum);
        if (lane == 0) low[((size_t)blockIdx.y * PARTS + blockIdx.z) * most + r] = sum;
    }
}

/// Grid: (parts of a row of y, rows, PARTS). y [rows, width] += low Bᵀ; y is bf16 where `is_narrow`, else f32.
extern "C" __global__ void lora_up(
    const Pair* const* adapters, int first, const float* low, void* y, int width, int most, int is_narrow
) {
    const Pair* pairs = adapters[blockIdx.y];
    if (!pairs) return;
    Pair pair = pairs[first + blockIdx.z];
    int output = blockIdx.x * blockDim.x + threadIdx.x;
    if (output >= pair.outputs) return;
    low += ((size_t)blockIdx.y * PARTS + blockIdx.z) * most;
    float sum = 0.0f;
    for (int r = 0; r < pair.rank; r++) sum += low[r] * widen(pair.b[(size_t)output * pair.rank + r]);
    size_t at = (size_t)blockIdx.y * width + pair.column + output;
    if (is_narrow) {
        bf16* to = (bf16*)y + at;
        *to = narrow(widen(*to) + sum);
    } else {
        ((float*)y)[at] += sum;
    }
}
