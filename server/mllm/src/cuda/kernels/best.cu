// The likeliest token of each row, and whether all scores are finite.

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

/// Grid: (parts, rows). The best of each part of scores [rows, vocab]: best [rows, parts] and where it stands, places
/// [rows, parts]. A score that is not finite counts as infinite.
extern "C" __global__ void best_of_parts(const float* scores, float* best, int* places, int vocab) {
    const float* row = scores + (size_t)blockIdx.y * vocab;
    float score = -INFINITE;
    int at = 0x7fffffff;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < vocab; i += gridDim.x * blockDim.x) {
        float v = row[i];
        take(score, at, fabsf(v) < INFINITE ? v : INFINITE, i);
    }
    best_of_block(score, at);
    if (threadIdx.x == 0) {
        best[blockIdx.y * gridDim.x + blockIdx.x] = score;
        places[blockIdx.y * gridDim.x + blockIdx.x] = at;
    }
}

/// Grid: rows. The best of all parts: ids [rows]; -1 where a score is not finite.
extern "C" __global__ void best_of_rows(const float* best, const int* places, int* ids, int parts) {
    float score = -INFINITE;
    int at = 0x7fffffff;
    for (int i = threadIdx.x; i < parts; i += blockDim.x)
        take(score, at, best[blockIdx.x * parts + i], places[blockIdx.x * parts + i]);
    best_of_block(score, at);
    if (threadIdx.x == 0) ids[blockIdx.x] = score < INFINITE ? at : -1;
}
