// Attention of single tokens: the keys of a sequence are shared out over blocks (split-K, "flash decoding"), and a block
// reads each key once for all query heads that share it.

#define FEW_THREADS 128
/// Threads that hold a key, eight numbers each.
#define KEY_LANES (HEAD_DIM / 8)
/// Keys that a block reads at once.
#define KEYS_AT_ONCE (FEW_THREADS / KEY_LANES)
/// Most keys of a block.
#define MOST_KEYS 512

/// Where key `at` of the sequence with this table lies in the pool.
__device__ inline size_t place(const int* table, int at, int kv_head) {
    return (((size_t)table[at / BLOCK] * KV_HEADS + kv_head) * BLOCK + at % BLOCK) * HEAD_DIM;
}

/// Grid: (KV_HEADS, parts, rows), FEW_THREADS threads. Row r sees the first lengths[r] tokens of its own blocks, tables
/// [r, stride]; part p of it takes keys p * chunk to (p + 1) * chunk, at most MOST_KEYS.
/// mixed [rows, KV_HEADS, parts, GROUP, HEAD_DIM]: values, weighed with exp(score - greatest);
/// stats [rows, KV_HEADS, parts, GROUP, 2]: the greatest score and the sum of weights.
extern "C" __global__ void attend_few(
    const bf16* queries, const bf16* keys, const bf16* values, const int* lengths, const int* tables, int stride,
    int chunk, float scale, float* mixed, float* stats
) {
    __shared__ float scores[GROUP][MOST_KEYS];
    __shared__ float sums[FEW_THREADS][8];
    int kv_head = blockIdx.x, row = blockIdx.z;
    int start = blockIdx.y * chunk, end = min(start + chunk, lengths[row]);
    size_t part = ((size_t)row * KV_HEADS + kv_head) * gridDim.y + blockIdx.y;
    mixed += part * GROUP * HEAD_DIM;
    stats += part * GROUP * 2;
    if (start >= end) {
        for (int g = threadIdx.x; g < GROUP; g += FEW_THREADS) stats[2 * g] = -INFINITE, stats[2 * g + 1] = 0.0f;
        return;
    }
    const int* table = tables + (size_t)row * stride;
    int lane = threadIdx.x % KEY_LANES, nth = threadIdx.x / KEY_LANES;

    uint4 query[GROUP];
    const bf16* from = queries + ((size_t)row * KV_HEADS + kv_head) * GROUP * HEAD_DIM + lane * 8;
#pragma unroll
    for (int g = 0; g < GROUP; g++) query[g] = *(const uint4*)(from + g * HEAD_DIM);
    for (int first = start; first < end; first += KEYS_AT_ONCE) {
        int at = first + nth;
        uint4 key = {0, 0, 0, 0};
        if (at < end) key = *(const uint4*)(keys + place(table, at, kv_head) + lane * 8);
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            float score = dot8(query[g], key);
            for (int step = KEY_LANES / 2; step > 0; step /= 2) score += __shfl_xor_sync(ALL_LANES, score, step);
            if (lane == 0 && at < end) scores[g][at - start] = score * scale;
        }
    }
    __syncthreads();

    for (int g = threadIdx.x / 32; g < GROUP; g += FEW_THREADS / 32) {
        float greatest = -INFINITE, sum = 0.0f;
        for (int i = threadIdx.x % 32; i < end - start; i += 32) greatest = fmaxf(greatest, scores[g][i]);
        greatest = warp_max(greatest);
        for (int i = threadIdx.x % 32; i < end - start; i += 32) sum += scores[g][i] = expf(scores[g][i] - greatest);
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) stats[2 * g] = greatest, stats[2 * g + 1] = sum;
    }
    __syncthreads();

    float mix[GROUP][8];
#pragma unroll
    for (int g = 0; g < GROUP; g++)
        for (int i = 0; i < 8; i++) mix[g][i] = 0.0f;
    for (int at = start + nth; at < end; at += KEYS_AT_ONCE) {
        uint4 value = *(const uint4*)(values + place(table, at, kv_head) + lane * 8);
        const u32 pairs[4] = {value.x, value.y, value.z, value.w};
#pragma unroll
        for (int g = 0; g < GROUP; g++) {
            float weight = scores[g][at - start];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                mix[g][2 * i] += weight * low(pairs[i]);
                mix[g][2 * i + 1] += weight * high(pairs[i]);
            }
        }
    }
#pragma unroll
    for (int g = 0; g < GROUP; g++) {
        for (int i = 0; i < 8; i++) sums[threadIdx.x][i] = mix[g][i];
        __syncthreads();
        for (int i = threadIdx.x; i < HEAD_DIM; i += FEW_THREADS) {
            float sum = 0.0f;
            for (int n = 0; n < KEYS_AT_ONCE; n++) sum += sums[n * KEY_LANES + i / 8][i % 8];
            mixed[g * HEAD_DIM + i] = sum;
        }
        __syncthreads();
    }
}

/// Grid: (heads, rows). Brings the parts of attend_few together: out [rows, heads, HEAD_DIM]; 0 where a row sees nothing.
extern "C" __global__ void combine(const float* mixed, const float* stats, bf16* out, int parts) {
    int head = blockIdx.x, row = blockIdx.y, g = head % GROUP;
    size_t first = ((size_t)row * KV_HEADS + head / GROUP) * parts;
    float greatest = -INFINITE;
    for (int p = 0; p < parts; p++) greatest = fmaxf(greatest, stats[((first + p) * GROUP + g) * 2]);
    for (int i = threadIdx.x; i < HEAD_DIM; i += blockDim.x) {
        float sum = 0.0f, weights = 0.0f;
        for (int p = 0; p < parts; p++) {
            size_t part = (first + p) * GROUP + g;
            if (stats[2 * part + 1] == 0.0f) continue;
            float share = expf(stats[2 * part] - greatest);
            sum += share * mixed[part * HEAD_DIM + i];
            weights += share * stats[2 * part + 1];
        }
        out[((size_t)row * gridDim.x + head) * HEAD_DIM + i] = narrow(weights > 0.0f ? sum / weights : 0.0f);
    }
}
