// Operations over rows of tokens.

/// Grid: rows. x [rows, width] becomes the embedding of each id in table [vocab, width]; an id below 0 takes row
/// -1 - id of given [.., width] instead.
extern "C" __global__ void embed(const int* ids, const bf16* table, const float* given, float* x, int width) {
    int id = ids[blockIdx.x];
    float* out = x + (size_t)blockIdx.x * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[i] = id < 0 ? given[(size_t)(-1 - id) * width + i] : widen(table[(size_t)id * width + i]);
}

/// Grid: rows of out. out = (x + bias) / rms(x + bias) * weight, where the sum stays in x [.., width]; rows of x are
/// taken in the order that `order` names. bias and order may be null.
extern "C" __global__ void rms_norm(
    float* x, const float* bias, const float* weight, const int* order, bf16* out, int width, float eps
) {
    int from = order ? order[blockIdx.x] : (int)blockIdx.x;
    float* row = x + (size_t)from * width;
    float squares = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float v = row[i];
        if (bias) row[i] = v += bias[i];
        squares += v * v;
    }
    float scale = rsqrtf(block_sum(squares) / width + eps);
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[(size_t)blockIdx.x * width + i] = narrow(row[i] * scale * weight[i]);
}

/// The angle by which the frequency i of a token turns: by the position on axis axes[i].
__device__ inline float angle(const int* positions, const float* frequencies, const int* axes, int row, int i) {
    return (float)positions[row * 3 + axes[i]] * frequencies[i];
}

/// Grid: rows. Adds the bias to qkv [rows, (GROUP * KV_HEADS + 2 * KV_HEADS) * HEAD_DIM], turns queries and keys by
/// their positions [rows, 3], writes queries [rows, heads, HEAD_DIM] and puts keys and values into the place of the
/// pool [blocks, KV_HEADS, BLOCK, HEAD_DIM] that slots [rows] names; a slot below 0 is none.
extern "C" __global__ void rope_kv(
    const float* qkv, const float* bias, const int* positions, const float* frequencies, const int* axes,
    const int* slots, bf16* queries, bf16* keys, bf16* values
) {
    const int half = HEAD_DIM / 2, heads = GROUP * KV_HEADS, row_heads = heads + 2 * KV_HEADS;
    int row = blockIdx.x, slot = slots[row];
    const float* from = qkv + (size_t)row * row_heads * HEAD_DIM;
    for (int n = threadIdx.x; n < row_heads * half; n += blockDim.x) {
        int head = n / half, i = n % half, first = head * HEAD_DIM + i;
        float a = from[first] + bias[first], b = from[first + half] + bias[first + half];
        if (head < heads + KV_HEADS) turn(a, b, angle(positions, frequencies, axes, row, i));
        bf16* to;
        if (head < heads) {
            to = queries + ((size_t)row * heads + head) * HEAD_DIM;
        } else {
            if (slot < 0) continue;
            int kv_head = (head - heads) % KV_HEADS;
            size_t place = ((size_t)(slot / BLOCK) * KV_HEADS + kv_head) * BLOCK + slot % BLOCK;
            to = (head < heads + KV_HEADS ? keys : values) + place * HEAD_DIM;
        }
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// Grid: (rows, parts of a row). out [rows, inner] = silu(gate) * up, where gate_up holds [rows, 2 * inner]; bias
/// [2 * inner] may be null. inner is a multiple of 8.
extern "C" __global__ void swiglu(const bf16* gate_up, const float* bias, bf16* out, int inner) {
    int at = (blockIdx.y * blockDim.x + threadIdx.x) * 8;
    if (at >= inner) return;
    const bf16* row = gate_up + (size_t)blockIdx.x * 2 * inner;
    uint4 gates = *(const uint4*)(row + at), ups = *(const uint4*)(row + inner + at);
    const u32 gate[4] = {gates.x, gates.y, gates.z, gates.w}, up[4] = {ups.x, ups.y, ups.z, ups.w};
    u32 mixed[4];
    for (int i = 0; i < 4; i++) {
        float g0 = low(gate[i]), g1 = high(gate[i]), u0 = low(up[i]), u1 = high(up[i]);
        if (bias) {
            g0 += bias[at + 2 * i], g1 += bias[at + 2 * i + 1];
            u0 += bias[inner + at + 2 * i], u1 += bias[inner + at + 2 * i + 1];
        }
        mixed[i] = pack(silu(g0) * u0, silu(g1) * u1);
    }
    uint4 all = {mixed[0], mixed[1], mixed[2], mixed[3]};
    *(uint4*)(out + (size_t)blockIdx.x * inner + at) = all;
}
