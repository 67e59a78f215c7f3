// What tuning adds: the gradient of every operation of a decoder layer, and of the loss.

/// Where queries lie: by key head, [KV_HEADS, rows, GROUP, HEAD_DIM], so that those that share a key head are the rows of one
/// matrix.
__device__ inline size_t of_query(size_t rows, size_t row, int head) {
    return ((head / GROUP * rows + row) * GROUP + head % GROUP) * HEAD_DIM;
}

/// Where a head of a row's queries, keys or values lies; keys and values are [rows, KV_HEADS, HEAD_DIM] each.
template <typename T>
__device__ inline T* of_head(T* queries, T* keys, T* values, size_t rows, size_t row, int head) {
    const int heads = GROUP * KV_HEADS;
    if (head < heads) return queries + of_query(rows, row, head);
    T* part = head < heads + KV_HEADS ? keys : values;
    return part + (row * KV_HEADS + (head - heads) % KV_HEADS) * HEAD_DIM;
}

/// Grid: rows. Adds the bias to qkv [rows, (GROUP * KV_HEADS + 2 * KV_HEADS) * HEAD_DIM], turns queries and keys as rope_kv
/// does, and parts them from the values.
extern "C" __global__ void turn_heads(
    const float* qkv, const float* bias, const int* positions, const float* frequencies, const int* axes,
    bf16* queries, bf16* keys, bf16* values
) {
    const int half = HEAD_DIM / 2, heads = GROUP * KV_HEADS, row_heads = heads + 2 * KV_HEADS;
    size_t row = blockIdx.x;
    for (int n = threadIdx.x; n < row_heads * half; n += blockDim.x) {
        int head = n / half, i = n % half, first = head * HEAD_DIM + i;
        const float* from = qkv + row * row_heads * HEAD_DIM + first;
        float a = from[0] + bias[first], b = from[half] + bias[first + half];
        if (head < heads + KV_HEADS) turn(a, b, angle(positions, frequencies, axes, row, i));
        bf16* to = of_head(queries, keys, values, gridDim.x, row, head);
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// Grid: rows. The gradient of qkv from those of what turn_heads gives.
extern "C" __global__ void turn_back(
    const float* queries, const float* keys, const float* values, const int* positions, const float* frequencies,
    const int* axes, bf16* qkv
) {
    const int half = HEAD_DIM / 2, heads = GROUP * KV_HEADS, row_heads = heads + 2 * KV_HEADS;
    size_t row = blockIdx.x;
    for (int n = threadIdx.x; n < row_heads * half; n += blockDim.x) {
        int head = n / half, i = n % half;
        const float* from = of_head(queries, keys, values, gridDim.x, row, head);
        float a = from[i], b = from[i + half];
        if (head < heads + KV_HEADS) turn(a, b, -angle(positions, frequencies, axes, row, i));
        bf16* to = qkv + (row * row_heads + head) * HEAD_DIM;
        to[i] = narrow(a);
        to[i + half] = narrow(b);
    }
}

/// Grid: rows. What lies as queries do as rows [rows, GROUP * KV_HEADS * HEAD_DIM].
extern "C" __global__ void by_rows(const bf16* from, bf16* to) {
    const int width = GROUP * KV_HEADS * HEAD_DIM;
    size_t row = blockIdx.x;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        to[row * width + i] = from[of_query(gridDim.x, row, i / HEAD_DIM) + i % HEAD_DIM];
}

/// Grid: rows. And back, to bf16.
extern "C" __global__ void by_heads(const float* from, bf16* to) {
    const int width = GROUP * KV_HEADS * HEAD_DIM;
    size_t row = blockIdx.x;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        to[of_query(gridDim.x, row, i / HEAD_DIM) + i % HEAD_DIM] = narrow(from[row * width + i]);
}

/// The greatest value over a block of whole warps, for every thread.
__device__ inline float block_max(float v) {
    __shared__ float parts[32];
    v = warp_max(v);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    int warps = blockDim.x / 32;
    float most = parts[0];
    for (int warp = 1; warp < warps; warp++) most = fmaxf(most, parts[warp]);
    __syncthreads();
    return most;
}

/// The greatest of the first `seen` scores of a row, and one over the sum of exp(score - greatest).
struct Softmax {
    float greatest, scale;
};

__device__ inline Softmax softmax(const float* scores, int seen) {
    float greatest = -INFINITE, sum = 0.0f;
    for (int i = threadIdx.x; i < seen; i += blockDim.x) greatest = fmaxf(greatest, scores[i]);
    greatest = block_max(greatest);
    for (int i = threadIdx.x; i < seen; i += blockDim.x) sum += expf(scores[i] - greatest);
    Softmax found = {greatest, 1.0f / block_sum(sum)};
    return found;
}

/// Grid: (queries, planes). weights [planes, queries, stride] = softmax of the scores. The queries of a plane are the GROUP
/// heads of a token, then those of the next; the heads of token t see keys 0 to first + t, the weights of the others up to
/// `keys` are 0.
extern "C" __global__ void weigh(const float* scores, bf16* weights, int first, int keys, int stride) {
    size_t at = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * stride;
    int seen = first + blockIdx.x / GROUP + 1;
    Softmax own = softmax(scores + at, seen);
    for (int i = threadIdx.x; i < keys; i += blockDim.x)
        weights[at + i] = i < seen ? narrow(expf(scores[at + i] - own.greatest) * own.scale) : 0;
}

/// Grid: as weigh. slopes are the gradient of the weights; gives the weights again, and the gradient of the scores.
extern "C" __global__ void weigh_back(
    const float* scores, const float* slopes, bf16* weights, bf16* back, int first, int keys, int stride
) {
    size_t at = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * stride;
    int seen = first + blockIdx.x / GROUP + 1;
    Softmax own = softmax(scores + at, seen);
    float mean = 0.0f;
    for (int i = threadIdx.x; i < seen; i += blockDim.x)
        mean += expf(scores[at + i] - own.greatest) * own.scale * slopes[at + i];
    mean = block_sum(mean);
    for (int i = threadIdx.x; i < keys; i += blockDim.x) {
        float weight = i < seen ? expf(scores[at + i] - own.greatest) * own.scale : 0.0f;
        weights[at + i] = narrow(weight);
        back[at + i] = i < seen ? narrow(weight * (slopes[at + i] - mean)) : 0;
    }
}

/// Grid: (rows, parts of a row). out [rows, inner] = silu(gate) * up, where gate_up holds [rows, 2 * inner].
extern "C" __global__ void gate(const float* gate_up, bf16* out, int inner) {
    int i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= inner) return;
    const float* row = gate_up + (size_t)blockIdx.x * 2 * inner;
    out[(size_t)blockIdx.x * inner + i] = narrow(silu(row[i]) * row[inner + i]);
}

/// Grid: as gate. The gradient of gate_up from that of what gate gives, slopes [rows, inner].
extern "C" __global__ void gate_back(const float* gate_up, const float* slopes, bf16* back, int inner) {
    int i = blockIdx.y * blockDim.x + threadIdx.x;
    if (i >= inner) return;
    size_t row = (size_t)blockIdx.x * 2 * inner;
    float gate = gate_up[row + i], up = gate_up[row + inner + i], slope = slopes[(size_t)blockIdx.x * inner + i];
    float sigmoid = 1.0f / (1.0f + expf(-gate));
    back[row + i] = narrow(slope * up * sigmoid * (1.0f + gate * (1.0f - sigmoid)));
    back[row + inner + i] = narrow(slope * gate * sigmoid);
}

/// Grid: rows of slopes. Adds to `into` the gradient of x from that of its norm, slopes [rows, width]; rows of x and
/// `into` [.., width] are taken in the order that `order` names, which may be null.
extern "C" __global__ void norm_back(
    const float* x, const float* weight, const float* slopes, const int* order, float* into, int width, float eps
) {
    size_t from = (size_t)(order ? order[blockIdx.x] : (int)blockIdx.x) * width;
    slopes += (size_t)blockIdx.x * width;
    float squares = 0.0f, product = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        squares += x[from + i] * x[from + i];
        product += slopes[i] * weight[i] * x[from + i];
    }
    float scale = rsqrtf(block_sum(squares) / width + eps);
    float pull = block_sum(product) * scale * scale * scale / width;
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        into[from + i] += slopes[i] * weight[i] * scale - x[from + i] * pull;
}

/// Grid: parts of count.
extern "C" __global__ void copy(const float* from, float* to, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = from[i];
}

/// Grid: parts of count.
extern "C" __global__ void clear(float* to, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = 0.0f;
}

/// Grid: parts of count. The same numbers in bf16.
extern "C" __global__ void narrowed(const float* from, bf16* to, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = narrow(from[i]);
}

/// SplitMix64's finaliser.
__device__ inline u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/// Numbers whose draws come from one state, as in model/low_rank.rs.
#define DRAWS (1 << 12)

/// What number i is multiplied by. draws: the seed mixed with the map's, and the draw below which a number is dropped.
__device__ inline float kept(const u64* draws, u64 i, float keep) {
    u64 chunk = mix(i / DRAWS + 1);
    u64 state = mix(draws[0] ^ (chunk << 32 | chunk >> 32)) + (i % DRAWS + 1) * 0x9e3779b97f4a7c15ull;
    return mix(state) < draws[1] ? 0.0f : keep;
}

/// Grid: parts of count. out = x with numbers dropped, those kept times `keep`.
extern "C" __global__ void dropped(const bf16* x, bf16* out, const u64* draws, int count, float keep) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = narrow(widen(x[i]) * kept(draws, i, keep));
}

/// Grid: parts of count. Adds to `into` the gradient of x from that of what `dropped` gives.
extern "C" __global__ void add_dropped(const float* slopes, float* into, const u64* draws, int count, float keep) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) into[i] += slopes[i] * kept(draws, i, keep);
}

/// What `surprise` says of a row: the surprise of its target in nats, the greatest score, one over the sum of exponentials
/// below it, and 1 where the target has the greatest score.
#define SAID 4

/// Grid: rows. scores [rows, classes].
extern "C" __global__ void surprise(const float* scores, const int* targets, float* said, int classes) {
    const float* row = scores + (size_t)blockIdx.x * classes;
    Softmax own = softmax(row, classes);
    if (threadIdx.x > 0) return;
    float at = row[targets[blockIdx.x]];
    said += blockIdx.x * SAID;
    said[0] = own.greatest - at - logf(own.scale);
    said[1] = own.greatest;
    said[2] = own.scale;
    said[3] = at >= own.greatest ? 1.0f : 0.0f;
}

/// Grid: (rows, parts of a row). The gradient of the scores from that of the surprises, slopes [rows].
extern "C" __global__ void surprise_back(
    const float* scores, const int* targets, const float* said, const float* slopes, bf16* back, int classes
) {
    int i = blockIdx.y * blockDim.x + threadIdx.x, row = blockIdx.x;
    if (i >= classes) return;
    size_t at = (size_t)row * classes + i;
    float likelihood = expf(scores[at] - said[row * SAID + 1]) * said[row * SAID + 2];
    back[at] = narrow(slopes[row] * (likelihood - (i == targets[row] ? 1.0f : 0.0f)));
}
