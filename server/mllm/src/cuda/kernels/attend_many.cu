// Attention of many tokens of a sequence at once, on tensor cores, with scores that never leave the registers
// (FlashAttention-2). A block takes up to 64 queries of one head, a warp 16 of them, 64 keys at a time.

#define TILE 64
/// Keeps the rows of a tile in different banks of shared memory.
#define APART 8

/// d [16, 8] += a [16, 16] b [16, 8]: each thread of a warp holds the part that PTX's mma.m16n8k16 says.
__device__ inline void multiply(float d[4], const u32 a[4], u32 b0, u32 b1) {
#ifdef EMULATED
    emulated_mma(d, a, b0, b1);
#else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// Queries and out are [rows, heads, HEAD_DIM]; `count` of them from row `first` on. Key t lies at place(t) of keys and
/// values; query i sees keys below total, and, where CAUSAL, those up to before + i.
template <bool CAUSAL, class Place>
__device__ inline void attend(
    const bf16* queries, const bf16* keys, const bf16* values, bf16* out, int first, int count, int before, int total,
    int heads, int head, float scale, Place place
) {
    __shared__ bf16 key_tile[TILE][HEAD_DIM + APART];
    __shared__ bf16 value_tile[HEAD_DIM][TILE + APART];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = lane / 4, column = lane % 4 * 2;
    // The two rows of a fragment that this thread holds.
    const int upper = warp * 16 + row, lower = upper + 8;
    const bf16* own = queries + ((size_t)first * heads + head) * HEAD_DIM;
    u32 query[HEAD_DIM / 16][4];
#pragma unroll
    for (int k = 0; k < HEAD_DIM / 16; k++)
#pragma unroll
        for (int part = 0; part < 4; part++) {
            int from = part % 2 ? lower : upper;
            size_t at = (size_t)from * heads * HEAD_DIM + k * 16 + part / 2 * 8 + column;
            query[k][part] = from < count ? *(const u32*)(own + at) : 0u;
        }
    float mix[HEAD_DIM / 8][4], greatest[2] = {-INFINITE, -INFINITE}, sum[2] = {0.0f, 0.0f};
#pragma unroll
    for (int n = 0; n < HEAD_DIM / 8; n++)
        for (int i = 0; i < 4; i++) mix[n][i] = 0.0f;

    const int seen = CAUSAL ? min(total, before + count) : total;
    for (int start = 0; start < seen; start += TILE) {
        for (int n = threadIdx.x; n < TILE * (HEAD_DIM / 8); n += blockDim.x) {
            int key = n / (HEAD_DIM / 8), at = n % (HEAD_DIM / 8) * 8;
            uint4 k = {0, 0, 0, 0}, v = {0, 0, 0, 0};
            if (start + key < seen) {
                size_t from = place(start + key) + at;
                k = *(const uint4*)(keys + from);
                v = *(const uint4*)(values + from);
            }
            *(uint4*)&key_tile[key][at] = k;
            const u32 pairs[4] = {v.x, v.y, v.z, v.w};
            for (int i = 0; i < 4; i++) {
                value_tile[at + 2 * i][key] = (bf16)pairs[i];
                value_tile[at + 2 * i + 1][key] = (bf16)(pairs[i] >> 16);
            }
        }
        __syncthreads();

        float score[TILE / 8][4];
        float tile_greatest[2] = {greatest[0], greatest[1]};
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            for (int i = 0; i < 4; i++) score[n][i] = 0.0f;
#pragma unroll
            for (int k = 0; k < HEAD_DIM / 16; k++) {
                const bf16* key = &key_tile[n * 8 + row][k * 16 + column];
                multiply(score[n], query[k], *(const u32*)key, *(const u32*)(key + 8));
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = start + n * 8 + column + i % 2, from = i / 2 ? lower : upper;
                bool hidden = key >= seen || (CAUSAL && key > before + from);
                score[n][i] = hidden ? -INFINITE : score[n][i] * scale;
                tile_greatest[i / 2] = fmaxf(tile_greatest[i / 2], score[n][i]);
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = tile_greatest[half];
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
            most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
            // Key 0 is seen by every query that counts, so this is finite wherever it matters.
            float shrink = most == -INFINITE ? 1.0f : expf(greatest[half] - most);
            greatest[half] = most;
            sum[half] *= shrink;
#pragma unroll
            for (int n = 0; n < HEAD_DIM / 8; n++) mix[n][2 * half] *= shrink, mix[n][2 * half + 1] *= shrink;
        }
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float weight = score[n][i] == -INFINITE ? 0.0f : expf(score[n][i] - greatest[i / 2]);
                score[n][i] = weight;
                sum[i / 2] += weight;
            }
#pragma unroll
        for (int k = 0; k < TILE / 16; k++) {
            const float *left = score[2 * k], *right = score[2 * k + 1];
            const u32 weight[4] = {
                pack(left[0], left[1]), pack(left[2], left[3]), pack(right[0], right[1]), pack(right[2], right[3])
            };
#pragma unroll
            for (int n = 0; n < HEAD_DIM / 8; n++) {
                const bf16* value = &value_tile[n * 8 + row][k * 16 + column];
                multiply(mix[n], weight, *(const u32*)value, *(const u32*)(value + 8));
            }
        }
        __syncthreads();
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        float all = sum[half];
        all += __shfl_xor_sync(ALL_LANES, all, 1);
        all += __shfl_xor_sync(ALL_LANES, all, 2);
        int from = half ? lower : upper;
        if (from >= count) continue;
        bf16* to = out + ((size_t)(first + from) * heads + head) * HEAD_DIM + column;
#pragma unroll
        for (int n = 0; n < HEAD_DIM / 8; n++)
            *(u32*)(to + n * 8) = pack(mix[n][2 * half] / all, mix[n][2 * half + 1] / all);
    }
}

struct InBlocks {
    const int* table;
    int kv_head;
    __device__ size_t operator()(int at) const { return place(table, at, kv_head); }
};

struct InRows {
    int begin, heads, head;
    __device__ size_t operator()(int at) const { return ((size_t)(begin + at) * heads + head) * HEAD_DIM; }
};

/// Grid: (tiles, heads), 128 threads. A tile [first row, queries, tokens before the first, row of tables] is up to 64
/// tokens of a sequence that see what is before them in its blocks; tables [.., stride].
extern "C" __global__ void attend_causal(
    const bf16* queries, const bf16* keys, const bf16* values, const int* tiles, const int* tables, int stride,
    float scale, bf16* out
) {
    const int* tile = tiles + blockIdx.x * 4;
    int head = blockIdx.y;
    InBlocks in = {tables + (size_t)tile[3] * stride, head / GROUP};
    attend<true>(
        queries, keys, values, out, tile[0], tile[1], tile[2], tile[1] + tile[2], gridDim.y, head, scale, in
    );
}

/// Grid: (tiles, heads), 128 threads. A tile [first row, queries, first key, keys] is up to 64 rows that see the keys of
/// their window; queries, keys and values are [rows, heads, HEAD_DIM].
extern "C" __global__ void attend_window(
    const bf16* queries, const bf16* keys, const bf16* values, const int* tiles, float scale, bf16* out
) {
    const int* tile = tiles + blockIdx.x * 4;
    InRows in = {tile[2], (int)gridDim.y, (int)blockIdx.y};
    attend<false>(
        queries, keys, values, out, tile[0], tile[1], 0, tile[3], gridDim.y, blockIdx.y, scale, in
    );
}
