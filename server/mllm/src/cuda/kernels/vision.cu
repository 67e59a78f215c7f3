// What only the vision tower and its merger do; HEAD_DIM is theirs.

/// Grid: rows. Adds the bias to qkv [rows, 3, heads, HEAD_DIM], turns queries and keys by angles [rows, HEAD_DIM / 2] and
/// parts them: queries, keys and values [rows, heads, HEAD_DIM].
extern "C" __global__ void vision_rope(
    const float* qkv, const float* bias, const float* angles, bf16* queries, bf16* keys, bf16* values, int heads
) {
    const int half = HEAD_DIM / 2, width = heads * HEAD_DIM;
    const float* row = qkv + (size_t)blockIdx.x * 3 * width;
    bf16* const out[3] = {queries, keys, values};
    for (int n = threadIdx.x; n < 3 * heads * half; n += blockDim.x) {
        int head = n / half, i = n % half, first = head * HEAD_DIM + i, part = head / heads;
        float a = row[first] + bias[first], b = row[first + half] + bias[first + half];
        if (part < 2) turn(a, b, angles[(size_t)blockIdx.x * half + i]);
        bf16* to = out[part] + (size_t)blockIdx.x * width + head % heads * HEAD_DIM;
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// Grid: (rows, parts of a row). out = gelu(x + bias) with the error function; x and out [rows, width].
extern "C" __global__ void gelu(const float* x, const float* bias, bf16* out, int width) {
    int i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= width) return;
    size_t at = (size_t)blockIdx.x * width + i;
    float v = x[at] + bias[i];
    out[at] = narrow(0.5f * v * (1.0f + erff(v * 0.70710678f)));
}

/// Grid: (rows, parts of a row). Row r of out becomes row order[r] of x plus the bias; x and out [rows, width].
extern "C" __global__ void place_rows(const float* x, const float* bias, const int* order, float* out, int width) {
    int i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= width) return;
    out[(size_t)blockIdx.x * width + i] = x[(size_t)order[blockIdx.x] * width + i] + bias[i];
}
