// How the next token of each row is chosen: the likeliest, or a draw, among all tokens or some. lm/choice.rs has the same
// for the CPU, number for number: weights are integers, so that no sum depends on its order.
//
// choices [rows, 4]: whether only some tokens may be taken, whether one is drawn, the scale and top_p of the draw, and the
// number in 0..1 that decides it, the last three as bits of floats. masks [rows, (vocab + 31) / 32]: a bit for each token
// that may be taken. scores [rows, vocab].

#define CHOOSE_THREADS 1024
#define NOWHERE 0x7fffffff
/// Twice the weight of the likeliest token.
#define BEYOND (1ull << 41)

struct Choice {
    bool some, drawn;
    float scale, top_p, uniform;
};

__device__ inline Choice choice_of(const int* choices, int row) {
    const int* own = choices + row * 4;
    return {
        (own[0] & 1) != 0, (own[0] & 2) != 0, __uint_as_float(own[1]), __uint_as_float(own[2]), __uint_as_float(own[3])
    };
}

/// The better of two: the greater score, of equals the first.
__device__ inline void take(float& score, int& at, float other, int other_at) {
    if (other > score || (other == score && other_at < at)) score = other, at = other_at;
}

/// The best of a block's threads, in its first one.
__device__ inline void best_of_block(float& score, int& at) {
    __shared__ float scores[32];
    __shared__ int places[32];
    for (int step = 16; step > 0; step /= 2) {
        float other = __shfl_xor_sync(ALL_LANES, score, step);
        int other_at = __shfl_xor_sync(ALL_LANES, at, step);
        take(score, at, other, other_at);
    }
    if (threadIdx.x % 32 == 0) scores[threadIdx.x / 32] = score, places[threadIdx.x / 32] = at;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int warp = 1; warp < (int)blockDim.x / 32; warp++) take(score, at, scores[warp], places[warp]);
}

/// The tokens of a row as they may be taken.
struct Row {
    const float* scores;
    const u32* mask;
    float most, scale;

    __device__ bool has(int i) const { return !mask || (mask[i / 32] >> (i % 32) & 1u); }

    /// 2^40 · 2^((score - most) · scale).
    __device__ u64 weight(float score) const {
        float power = fmaxf(__fmul_rn(__fsub_rn(score, most), scale), -41.0f);
        float whole = floorf(power), part = __fsub_rn(power, whole);
        const float powers[5] = {0.69314754f, 0.2402072f, 0.055657055f, 0.009199387f, 0.0017883688f};
        float sum = 0.0f;
#pragma unroll
        for (int i = 4; i >= 0; i--) sum = __fadd_rn(__fmul_rn(sum, part), powers[i]);
        u32 mantissa = (u32)__fmul_rn(__fadd_rn(__fmul_rn(sum, part), 1.0f), 16777216.0f);
        return (u64)mantissa << 16 >> (int)-whole;
    }

    /// The weight of a token, 0 where it is below a threshold.
    __device__ u64 at(int i, u64 threshold) const {
        u64 own = has(i) ? weight(scores[i]) : 0;
        return own >= threshold ? own : 0;
    }
};

/// The greatest weight that is reached by tokens that together weigh a part of all, at least 1; `kept` becomes what they
/// weigh. heavy [vocab] is for what comes into question.
__device__ inline u64 threshold_of(const Row& row, float top_p, float* heavy, int vocab, u64& kept) {
    __shared__ int count;
    u64 total = 0;
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) total += row.at(i, 1);
    total = block_sum(total);
    double part = ceil((double)top_p * (double)total);
    u64 wanted = part < 1.0 ? 1 : (u64)part;
    if (wanted >= total) {
        kept = total;
        return 1;
    }
    // All tokens that are lighter than this weigh no more together than what may be left out.
    u64 low = (total - wanted) / vocab + 1, high = BEYOND;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    kept = 0;
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
        u64 own = row.at(i, low);
        kept += own;
        if (own) heavy[atomicAdd(&count, 1)] = row.scores[i];
    }
    kept = block_sum(kept);
    while (high - low > 1) {
        u64 middle = low + (high - low) / 2, sum = 0;
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            u64 own = row.weight(heavy[i]);
            if (own >= middle) sum += own;
        }
        sum = block_sum(sum);
        if (sum >= wanted) {
            low = middle;
            kept = sum;
        } else {
            high = middle;
        }
    }
    return low;
}

/// The first token up to which those that reach the threshold weigh more than `left`: the range that holds it is parted
/// among the warps until nothing else is in it.
__device__ inline int token_at(const Row& row, u64 threshold, u64 left, int vocab) {
    __shared__ u64 sums[32];
    const int warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int start = 0, end = vocab;
    while (end - start > 1) {
        int size = (end - start + warps - 1) / warps;
        int to = min(start + (warp + 1) * size, end);
        u64 sum = 0;
        for (int i = start + warp * size + lane; i < to; i += 32) sum += row.at(i, threshold);
        sum = warp_sum(sum);
        if (lane == 0) sums[warp] = sum;
        __syncthreads();
        int n = 0;
        while (n < warps - 1 && left >= sums[n]) left -= sums[n++];
        start += n * size;
        end = min(start + size, end);
        __syncthreads();
    }
    return start;
}

/// Grid: (parts, rows). The best of each part of a row: best [rows, parts] and where it stands, places [rows, parts]. A
/// score that is not finite counts as infinite, whether its token may be taken or not.
extern "C" __global__ void best_of_parts(
    const float* scores, const int* choices, const u32* masks, float* best, int* places, int vocab
) {
    const float* row = scores + (size_t)blockIdx.y * vocab;
    const u32* mask = masks + (size_t)blockIdx.y * ((vocab + 31) / 32);
    bool some = choice_of(choices, blockIdx.y).some;
    float score = -INFINITE;
    int at = NOWHERE;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < vocab; i += gridDim.x * blockDim.x) {
        float v = row[i];
        if (!(fabsf(v) < INFINITE)) {
            take(score, at, INFINITE, i);
        } else if (!some || (mask[i / 32] >> (i % 32) & 1u)) {
            take(score, at, v, i);
        }
    }
    best_of_block(score, at);
    if (threadIdx.x == 0) {
        best[blockIdx.y * gridDim.x + blockIdx.x] = score;
        places[blockIdx.y * gridDim.x + blockIdx.x] = at;
    }
}

/// Grid: rows, CHOOSE_THREADS threads. The token of each row: ids [rows]; -1 where a score is not finite or no token may be
/// taken. heavy [rows, vocab] is for draws.
extern "C" __global__ void __launch_bounds__(CHOOSE_THREADS) choose(
    const float* scores, const int* choices, const u32* masks, const float* best, const int* places, float* heavy,
    int* ids, int parts, int vocab
) {
    __shared__ float most;
    int row = blockIdx.x;
    float score = -INFINITE;
    int at = NOWHERE;
    for (int i = threadIdx.x; i < parts; i += blockDim.x) take(score, at, best[row * parts + i], places[row * parts + i]);
    best_of_block(score, at);
    if (threadIdx.x == 0) {
        most = score;
        ids[row] = fabsf(score) < INFINITE ? at : -1;
    }
    __syncthreads();
    Choice choice = choice_of(choices, row);
    if (!choice.drawn || !(fabsf(most) < INFINITE)) return;
    const u32* mask = choice.some ? masks + (size_t)row * ((vocab + 31) / 32) : nullptr;
    Row own = {scores + (size_t)row * vocab, mask, most, choice.scale};
    u64 kept;
    u64 threshold = threshold_of(own, choice.top_p, heavy + (size_t)row * vocab, vocab, kept);
    u64 left = (u64)((double)choice.uniform * (double)kept);
    int id = token_at(own, threshold, left < kept ? left : kept - 1, vocab);
    if (threadIdx.x == 0) ids[row] = id;
}
